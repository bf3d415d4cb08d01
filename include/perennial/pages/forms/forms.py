"""What a person reads before an act, and what of it goes to Airflow: a form each, made of what holds now."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from perennial.errors import InvalidParams
from perennial.gate import rollback_plan
from perennial.pages.access import Act
from perennial.pages.airflow_state import Answer, Approval, Pipeline
from perennial.pages.forms import fields
from perennial.pages.forms.fields import Field
from perennial.registry import deployments, ledger
from perennial.registry.ledger import Entry, Pause
from perennial.use_case import UseCase

_NEW_RUN = re.compile(r"manual__[\dT.-]{20,30}_[0-9a-f]{8}")


def _new_run() -> str:
    return f"manual__{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}_{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Facts:
    """What holds when a form is shown, or sent.

    Attributes:
        held: The ledger, oldest first.
        pipelines: Of the use case, by name.
        asked: The question that `answer` is about, if it still waits.
        answered: Run and answer, if it does not.
        now: Processing time, UTC.
        new_run: What a run that this form starts is called.
    """

    held: Sequence[Entry]
    pipelines: Mapping[str, Pipeline]
    asked: Approval | None = None
    answered: tuple[str, Answer] | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    new_run: str = field(default_factory=_new_run)

    @property
    def champion(self) -> Entry | None:
        return ledger.champion_among(self.held)

    @property
    def pause(self) -> Pause | None:
        return ledger.pause_among(self.held, self.now)


@dataclass(frozen=True)
class Call:
    """What is asked of Airflow's REST API, about a run of a pipeline; `path` is below the DAG's own."""

    method: str
    pipeline: str
    path: str
    body: dict[str, Any]
    run: str


@dataclass(frozen=True)
class Form:
    """A form as the template shows it.

    Attributes:
        says: What will happen, a sentence each.
        warnings: What the person should know before.
        blocked: Why it cannot be done now; "": it can.
        buttons: Value, text and class of each.
        hidden: What goes along.
        fields, folded: What can be said; the second only for who unfolds it.
        evidence: Markdown of ours.
        reason, problem: What was typed as the reason, and what is wrong with it.
        problems: What is wrong with the rest.
        call: What is to be done, if nothing is wrong.
    """

    act: Act
    title: str
    says: Sequence[str]
    buttons: Sequence[tuple[str, str, str]]
    warnings: Sequence[str] = ()
    blocked: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[Field] = ()
    folded: Sequence[Field] = ()
    evidence: str = ""
    reason: str = ""
    problem: str = ""
    problems: Sequence[str] = ()
    call: Call | None = None

    @property
    def wrong(self) -> bool:
        """Whether anything that was typed is wrong."""
        return bool(self.problem or self.problems or any(each.problem for each in (*self.fields, *self.folded)))


def form(use_case: UseCase, act: Act, facts: Facts, given: Mapping[str, str], sent: bool) -> Form:
    """The form of an act.

    Args:
        given: What was typed, or what the address says.
        sent: Whether the person has sent the form: what is wrong with it is said, and the call is made ready if nothing
            is.
    """
    made = {"retrain": _retrain, "roll-back": _roll_back, "resume": _resume, "answer": _answer}[act](
        use_case, facts, given, sent
    )
    missing = _missing(facts.pipelines["training" if act in ("retrain", "answer") else "champion"])
    reason, problem = fields.reason(given)
    made = replace(made, reason=reason, problem=problem if sent else "", blocked=made.blocked or missing)
    return replace(made, call=None) if not sent or made.blocked or made.wrong else made


def _retrain(use_case: UseCase, facts: Facts, given: Mapping[str, str], sent: bool) -> Form:
    params, problems = fields.meant(use_case, use_case.params, given)
    names = ("window_start", "window_end", "require_approval")
    rest = [name for name in use_case.params.model_fields if name not in names]
    shown = problems if sent else {}
    rival = f"the champion v{facts.champion.model_version}" if facts.champion else "the baseline model"
    window = use_case.retraining.window
    what = f"the last {window} partitions" if window else f"all partitions from {use_case.first.key} on"
    return Form(
        act="retrain",
        title="Retrain",
        says=(
            f"Airflow starts a run of {use_case.name}.training in your name; your reason is noted on it.",
            f"It trains a new version on {what}, up to the newest that has examples or that retraining is asked for.",
            f"The gate judges the new version against {rival}, on data that neither was trained on."
            f" {_who(use_case, facts.pause)}",
        ),
        warnings=_state(facts.pipelines["training"]),
        buttons=[("retrain", "Retrain", "main")],
        hidden={"as": (run := _as(facts, given))},
        fields=fields.fields(use_case.params, names, given, shown),
        folded=fields.fields(use_case.params, rest, given, shown),
        problems=[said for name, said in shown.items() if name not in use_case.params.model_fields],
        call=_run("training", run, given, params),
    )


def _who(use_case: UseCase, pause: Pause | None = None) -> str:
    """Who decides on what the gate finds."""
    policy = use_case.gate.approval
    if pause is not None:
        until = f"until {deployments.format_utc(pause.until)} UTC" if pause.until else "until somebody resumes it"
        return f"Automatic promotion is paused {until}: a person is asked before anything is promoted."
    if policy == "always":
        return "If it is for the new version, a person is asked before anything is promoted."
    if policy == "borderline":
        return "It promotes by itself what is clearly better; where the gain may be luck, a person is asked."
    return "It promotes by itself what clears every rule, and nothing else."


def _roll_back(use_case: UseCase, facts: Facts, given: Mapping[str, str], sent: bool) -> Form:
    serving = facts.champion
    # The last deployment of each version.
    deployed = {deployment.version: deployment for deployment in deployments.periods(facts.held)}
    options = [deployment for version, deployment in deployed.items() if serving and version != serving.model_version]
    options.sort(key=lambda deployment: deployment.since, reverse=True)
    wanted = given.get("to", "")
    to = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else None
    problems: dict[str, str] = {}
    planned = None
    try:
        planned = rollback_plan.plan_from_entries(use_case, list(facts.held), to)
    except InvalidParams as error:
        problems["to"] = error.problem
    if serving is None or not options:
        said = problems.get("to") or f"Nothing but v{planned.previous if planned else 1} has served."
        return Form("roll-back", "Roll back", (), (), blocked=said)
    if sent and to is None:
        problems["to"] = "Choose a version."
    pause = given.get("pause", "").strip()
    if sent:
        try:
            rollback_plan.parse_request(use_case.name, {"reason": "-", "pause": pause or None})
        except InvalidParams:
            problems["pause"] = f"{pause!r} is no number of hours, days or weeks such as 12h, 7d or 2w."
    if (shown := given.get("serving")) and shown != str(serving.model_version):
        problems["to"] = (
            f"Meanwhile v{serving.model_version} has become champion (by {serving.actor}); choose again if you still"
            " want to."
        )
    wish = {"action": "rollback", "to": to} | ({"pause": pause} if pause else {})
    first = use_case.cadence.at(planned.effective_from).key if planned else "the first that is not scored yet"
    return Form(
        act="roll-back",
        title="Roll back",
        says=(
            f"v{serving.model_version} serves now: {serving.actor}"
            f" {'promoted it' if serving.action == 'promoted' else 'rolled back to it'}"
            f" on {deployments.format_utc(serving.recorded_at)} UTC.",
            f"The version that you choose becomes champion again and predicts from partition {first} on. What is scored"
            " already stays as it is.",
            "Automatic promotion pauses, so that the gate does not undo this; meanwhile a person decides on what it"
            " would promote.",
            f"A run of {use_case.name}.champion does it in your name; the ledger keeps your name and your reason.",
        ),
        warnings=[*_state(facts.pipelines["champion"]), *_paused(facts.pause)],
        buttons=[("roll-back", "Roll back", "grave")],
        hidden={"serving": str(serving.model_version), "as": (run := _as(facts, given))},
        fields=[
            Field(
                "to",
                "choice",
                "It must have served before; by default the one before the present.",
                str(planned.version) if planned else wanted,
                tuple((str(deployment.version), _told(use_case, deployment)) for deployment in options),
                problems.get("to", "") if sent or wanted else "",
            ),
            Field(
                "pause",
                "text",
                "How long automatic promotion pauses: hours, days or weeks, like 12h, 7d or 2w. Empty: until somebody"
                " resumes it.",
                pause,
                problem=problems.get("pause", ""),
            ),
        ],
        call=_run("champion", run, given, wish),
    )


def _told(use_case: UseCase, deployment: deployments.DeploymentPeriod) -> str:
    until = deployments.format_utc(deployment.until)[:10] if deployment.until else "now"
    reach = deployments.partitions_served(use_case, deployment)
    return (
        f"v{deployment.version}: served {deployments.format_utc(deployment.since)[:10]} to {until}, partitions {reach}"
    )


def _resume(use_case: UseCase, facts: Facts, given: Mapping[str, str], sent: bool) -> Form:
    if facts.pause is None:
        said = "Automatic promotion is not paused: there is nothing to resume."
        return Form("resume", "Resume automatic promotion", (), (), blocked=said)
    return Form(
        act="resume",
        title="Resume automatic promotion",
        says=(
            f"This pause ends: {deployments.pause_text(facts.pause)}.",
            f"From then on the gate decides as the use case says. {_who(use_case)}",
            f"A run of {use_case.name}.champion does it in your name; the ledger keeps your name and your reason.",
        ),
        warnings=_state(facts.pipelines["champion"]),
        buttons=[("resume", "Resume", "main")],
        hidden={"as": (run := _as(facts, given))},
        call=_run("champion", run, given, {"action": "resume"}),
    )


def _answer(use_case: UseCase, facts: Facts, given: Mapping[str, str], sent: bool) -> Form:
    asked = facts.asked
    title = "Approve or reject"
    if asked is None:
        return Form("answer", title, (), (), blocked=_no_question(facts))
    chosen = given.get("choice", "")
    ends = asked.asked + use_case.gate.approval_timeout
    champion = facts.champion
    stays = f"v{champion.model_version} stays champion" if champion else "there is still no champion"
    where = "/".join(quote(part, safe="") for part in (asked.run.id, "taskInstances", asked.task, str(asked.map_index)))
    reason, _ = fields.reason(given)
    return Form(
        act="answer",
        title=asked.subject,
        says=(
            "Approve: the new version becomes champion and predicts from the first partition that it has not seen and"
            " that is not scored yet.",
            f"Reject: {stays}.",
            f"If nobody answers until {deployments.format_utc(ends)} UTC, it is a no.",
            "The ledger keeps your name and your reason.",
        ),
        warnings=_state(facts.pipelines["training"], waiting=False),
        buttons=[("Approve", "Approve", "main"), ("Reject", "Reject", "grave")],
        hidden={"run": asked.run.id},
        evidence=asked.body,
        problems=["Choose one of the two buttons."] if sent and chosen not in ("Approve", "Reject") else [],
        call=Call(
            "PATCH",
            "training",
            f"/dagRuns/{where}/hitlDetails",
            {"chosen_options": [chosen], "params_input": {"reason": reason}},
            asked.run.id,
        ),
    )


def _no_question(facts: Facts) -> str:
    if facts.answered is None:
        return "No new champion waits for an answer."
    run, answer = facts.answered
    who = answer.by or "Nobody answered in time, so"
    said = f"{who} answered {answer.chosen}" if answer.by else f"{who} it is {answer.chosen}"
    return f"{said} on {deployments.format_utc(answer.at)} UTC (run {run}). An answer is given once."


def _missing(pipeline: Pipeline) -> str:
    if pipeline.known:
        return ""
    return f"Airflow does not know the DAG {pipeline.dag}: its file may not have been read, or has an error."


def _state(pipeline: Pipeline, waiting: bool = True) -> list[str]:
    """What of the DAG's state a person should know before."""
    said = []
    if pipeline.known and pipeline.paused:
        said.append(f"The DAG {pipeline.dag} is paused in Airflow: a run waits until somebody unpauses it.")
    if waiting and pipeline.active:
        many = "A run is" if pipeline.active == 1 else f"{pipeline.active} runs are"
        said.append(f"{many} under way or waiting in {pipeline.dag}; a new one starts when that is over.")
    return said


def _paused(pause: Pause | None) -> list[str]:
    if pause is None:
        return []
    return [f"Paused already: {deployments.pause_text(pause)}. Of two pauses the one that ends last holds."]


def _as(facts: Facts, given: Mapping[str, str]) -> str:
    """The name of the run that the form starts. It is chosen when the form is shown: sent twice, it starts one run."""
    shown = given.get("as", "")
    return shown if _NEW_RUN.fullmatch(shown) else facts.new_run


def _run(pipeline: str, run: str, given: Mapping[str, str], params: dict[str, Any]) -> Call:
    """Start a run of a pipeline; the reason is noted on it, and is one of its parameters where it takes one."""
    reason, _ = fields.reason(given)
    conf = params | ({"reason": reason} if pipeline == "champion" else {})
    body = {"dag_run_id": run, "logical_date": None, "conf": conf, "note": reason}
    return Call("POST", pipeline, "/dagRuns", body, run)
