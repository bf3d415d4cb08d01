"""The form that rolls back to an earlier version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perennial.dag_names import CHAMPION, dag_id
from perennial.errors import InvalidParams
from perennial.gate import rollback_plan
from perennial.gate.rollback_plan import RollbackPlan
from perennial.pages.forms.fields import Field
from perennial.pages.forms.form import Facts, Form, pipeline_warnings, run_id, start_run
from perennial.registry import deployments
from perennial.registry.deployments import DeploymentPeriod
from perennial.registry.ledger import PROMOTED, Entry, Pause
from perennial.use_case import UseCase


def build(use_case: UseCase, facts: Facts, typed: Mapping[str, str], sent: bool) -> Form:
    """The form that rolls back to an earlier version.

    Args:
        use_case: Whose.
        facts: What is true now.
        typed: What was typed.
        sent: Whether the person has sent the form.
    """
    champion, options = facts.champion, _options(facts)
    requested, pause = typed.get("to", ""), typed.get("pause", "").strip()
    to = int(requested) if requested.isdecimal() and len(requested) < 10 else None
    plan, problem = _plan(use_case, facts, to)
    if champion is None or not options:
        blocked = problem or f"No version but v{plan.previous if plan else 1} was ever deployed."
        return Form("roll-back", "Roll back", (), (), blocked=blocked)
    problems = {"to": problem} if problem else {}
    if sent:
        problems |= _problems_when_sent(use_case, to, pause)
    if (shown := typed.get("serving")) and shown != str(champion.model_version):
        problems["to"] = (
            f"v{champion.model_version} has become champion in the meantime (by {champion.actor}). Choose again if you"
            " still want to roll back."
        )
    selected = str(plan.version) if plan else requested
    choices = tuple((str(deployment.version), _label(use_case, deployment)) for deployment in options)
    run = run_id(facts, typed)
    return Form(
        action="roll-back",
        title="Roll back",
        consequences=_consequences(use_case, champion, plan),
        warnings=[*pipeline_warnings(facts.pipelines[CHAMPION]), *_pause_warning(facts.pause)],
        buttons=[("roll-back", "Roll back", "grave")],
        hidden={"serving": str(champion.model_version), "as": run},
        fields=[
            _version_field(selected, choices, problems.get("to", "") if sent or requested else ""),
            _pause_field(pause, problems.get("pause", "")),
        ],
        call=start_run(CHAMPION, run, typed, {"action": "rollback", "to": to} | ({"pause": pause} if pause else {})),
    )


def _options(facts: Facts) -> list[DeploymentPeriod]:
    """The last deployment of each version but the champion, newest first."""
    champion = facts.champion
    last = {deployment.version: deployment for deployment in deployments.periods(facts.entries)}
    options = [each for version, each in last.items() if champion and version != champion.model_version]
    return sorted(options, key=lambda deployment: deployment.since, reverse=True)


def _plan(use_case: UseCase, facts: Facts, to: int | None) -> tuple[RollbackPlan | None, str]:
    """What a rollback would do, or why it is not possible."""
    try:
        return rollback_plan.plan_from_entries(use_case, list(facts.entries), to), ""
    except InvalidParams as error:
        return None, error.problem


def _problems_when_sent(use_case: UseCase, to: int | None, pause: str) -> dict[str, str]:
    problems = {"to": "Choose a version."} if to is None else {}
    try:
        rollback_plan.parse_request(use_case.name, {"reason": "-", "pause": pause or None})
    except InvalidParams:
        problems["pause"] = f"{pause!r} is not a number of hours, days or weeks such as 12h, 7d or 2w."
    return problems


def _consequences(use_case: UseCase, champion: Entry, plan: RollbackPlan | None) -> Sequence[str]:
    first = use_case.cadence.at(plan.effective_from).key if plan else "the first that is not scored yet"
    how = "promoted it" if champion.action == PROMOTED else "rolled back to it"
    return (
        f"v{champion.model_version} is champion now: {champion.actor} {how}"
        f" on {deployments.format_utc(champion.recorded_at)} UTC.",
        f"The version that you choose becomes champion again and predicts from partition {first} on. Existing"
        " predictions do not change.",
        "Automatic promotion pauses, so that the gate does not undo the rollback; until it is resumed, a person"
        " approves or rejects every promotion.",
        f"A run of {dag_id(use_case.name, CHAMPION)} does this in your name;"
        " the ledger records your name and your reason.",
    )


def _version_field(selected: str, choices: tuple[tuple[str, str], ...], problem: str) -> Field:
    hint = "A version that was deployed before; by default the previous one."
    return Field("to", "choice", hint, selected, choices, problem)


def _pause_field(pause: str, problem: str) -> Field:
    hint = (
        "How long automatic promotion pauses: hours, days or weeks, such as 12h, 7d or 2w. Empty: until somebody"
        " resumes it."
    )
    return Field("pause", "text", hint, pause, problem=problem)


def _label(use_case: UseCase, deployment: DeploymentPeriod) -> str:
    until = deployments.format_utc(deployment.until)[:10] if deployment.until else "now"
    partitions = deployments.partitions_served(use_case, deployment)
    since = deployments.format_utc(deployment.since)[:10]
    return f"v{deployment.version}: deployed {since} to {until}, partitions {partitions}"


def _pause_warning(pause: Pause | None) -> list[str]:
    if pause is None:
        return []
    return [f"Already paused: {deployments.pause_text(pause)}. Of two pauses the one that ends last applies."]
