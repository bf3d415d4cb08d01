"""What a form is made of: the facts it is built from, what it shows, and the call of Airflow's REST API it becomes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from perennial.dag_names import CHAMPION
from perennial.pages.access import Action
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
    """What is true when a form is shown, or sent.

    Attributes:
        entries: The ledger, oldest first.
        pipelines: Of the use case, by name.
        approval: The open request that `answer` is about; None: there is none.
        answered: Run and answer, if the request has one already.
        now: Processing time, UTC.
        new_run: The id for a run that this form starts.
    """

    entries: Sequence[Entry]
    pipelines: Mapping[str, Pipeline]
    approval: Approval | None = None
    answered: tuple[str, Answer] | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    new_run: str = field(default_factory=_new_run)

    @property
    def champion(self) -> Entry | None:
        """The decision that made the present champion; None: there is none."""
        return ledger.champion_among(self.entries)

    @property
    def pause(self) -> Pause | None:
        """The present pause of automatic promotion; None: it is not paused."""
        return ledger.pause_among(self.entries, self.now)


@dataclass(frozen=True)
class Call:
    """A call of Airflow's REST API about a run of a pipeline; `path` is below the DAG's own."""

    method: str
    pipeline: str
    path: str
    body: dict[str, Any]
    run: str


@dataclass(frozen=True)
class Form:
    """A form as the template shows it.

    Attributes:
        consequences: What will happen, a sentence each.
        warnings: What the person should know first.
        blocked: Why the action is not possible now; empty: it is.
        buttons: Value, text and class of each.
        hidden: Values that are sent along.
        fields: Fields of the form.
        folded: Fields that are shown once they are unfolded.
        evidence: Markdown written by the library.
        reason: What was typed as the reason.
        reason_problem: What is wrong with the reason.
        problems: What is wrong with the rest.
        call: What is sent to Airflow, if nothing is wrong.
    """

    action: Action
    title: str
    consequences: Sequence[str]
    buttons: Sequence[tuple[str, str, str]]
    warnings: Sequence[str] = ()
    blocked: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[Field] = ()
    folded: Sequence[Field] = ()
    evidence: str = ""
    reason: str = ""
    reason_problem: str = ""
    problems: Sequence[str] = ()
    call: Call | None = None

    @property
    def has_problems(self) -> bool:
        """Whether anything that was typed is wrong."""
        return bool(self.reason_problem or self.problems or any(each.problem for each in (*self.fields, *self.folded)))


def who_decides(use_case: UseCase, pause: Pause | None = None) -> str:
    """Who decides on a challenger, in a sentence.

    Args:
        use_case: Whose gate decides.
        pause: The present pause of automatic promotion.
    """
    policy = use_case.gate.approval
    if pause is not None:
        until = f"until {deployments.format_utc(pause.until)} UTC" if pause.until else "until somebody resumes it"
        return f"Automatic promotion is paused {until}: a person approves or rejects every promotion."
    if policy == "always":
        return "If the gate would promote it, a person approves or rejects."
    if policy == "borderline":
        return "It is promoted automatically if the improvement is significant; if that is unclear, a person decides."
    return "It is promoted automatically if it passes every rule, and not otherwise."


def pipeline_warnings(pipeline: Pipeline, waiting: bool = True) -> list[str]:
    """What a person should know of a DAG's state before they act.

    Args:
        pipeline: The DAG that the action is about.
        waiting: Whether the action starts a run, which waits for those before it.
    """
    warnings = []
    if pipeline.known and pipeline.paused:
        warnings.append(f"The DAG {pipeline.dag} is paused in Airflow: a run waits until somebody unpauses it.")
    if waiting and pipeline.active:
        subject = "A run is" if pipeline.active == 1 else f"{pipeline.active} runs are"
        warnings.append(f"{subject} running or queued in {pipeline.dag}; a new one starts after that.")
    return warnings


def run_id(facts: Facts, typed: Mapping[str, str]) -> str:
    """The id of the run that the form starts. It is chosen when the form is shown: sent twice, it starts one run.

    Args:
        facts: What is true now.
        typed: What was sent with the form.
    """
    shown = typed.get("as", "")
    return shown if _NEW_RUN.fullmatch(shown) else facts.new_run


def start_run(pipeline: str, run: str, typed: Mapping[str, str], params: Mapping[str, Any]) -> Call:
    """The call that starts a run of a pipeline.

    Args:
        pipeline: Its name, such as `training`.
        run: The id of the run.
        typed: What was typed. The reason is noted on the run, and is one of its parameters where it takes one.
        params: The other parameters.
    """
    reason, _ = fields.reason(typed)
    conf = {**params, **({"reason": reason} if pipeline == CHAMPION else {})}
    body = {"dag_run_id": run, "logical_date": None, "conf": conf, "note": reason}
    return Call("POST", pipeline, "/dagRuns", body, run)
