"""What is wrong by Airflow: failed runs, runs that take much longer than usual, approvals that wait for a person.

Asked over Airflow's REST API, which any worker may; all use cases are asked about together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from urllib.parse import quote

from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import Incident, Reason, Subject
from perennial.dag_names import (
    AHEAD,
    ALL,
    FEATURES,
    MONITORING,
    REFRESH,
    SCHEDULE,
    SCORING,
    TRAINING,
    dag_id,
    use_case_name,
)
from perennial.errors import PerennialError
from perennial.services.airflow_api import AirflowClient
from perennial.services.airflow_records import ApprovalRequest, DagRun
from perennial.use_case import UseCase

REASONS: frozenset[Reason] = frozenset({"run-failed", "run-stuck", "approval"})
#: A failed run that ended longer ago opens nothing.
LOOKED_BACK = timedelta(days=14)
#: Seconds that are waited for Airflow.
PATIENCE = 15.0
#: A run is stuck after so many times what its earlier runs took in the middle, and so many times the longest of them,
#: and this besides; of fewer earlier ones nothing is said.
STUCK_MEDIAN, STUCK_LONGEST, STUCK_MORE, EARLIER, FEWEST = 3.0, 1.5, timedelta(minutes=10), 20, 5
_PIPELINES = frozenset({*ALL, SCHEDULE, REFRESH, AHEAD})
#: Those whose partitions are each a matter of its own; of the others only the newest run counts.
_BY_PARTITION = frozenset({FEATURES, SCORING, MONITORING})


@dataclass(frozen=True)
class _Group:
    """Runs of which the newest that has ended counts: of a pipeline, on one partition where it runs by partition."""

    use_case: str
    pipeline: str
    partition: str | None

    @classmethod
    def of(cls, run: DagRun) -> _Group:
        pipeline = run.dag.partition(".")[2]
        return cls(use_case_name(run.dag), pipeline, run.partition if pipeline in _BY_PARTITION else None)

    @classmethod
    def named(cls, use_case: str, subject: str) -> _Group:
        pipeline, _, partition = subject.partition(" ")
        return cls(use_case, pipeline, partition or None)

    @property
    def subject(self) -> Subject:
        """`features 2013-03`, or `training`."""
        return Subject("run-failed", " ".join(filter(None, (self.pipeline, self.partition))))

    @property
    def dag(self) -> str:
        """The DAG's id."""
        return dag_id(self.use_case, self.pipeline)


def read(
    client: AirflowClient, use_cases: Mapping[str, UseCase], known: Mapping[str, Sequence[Incident]], now: datetime
) -> dict[str, Reading]:
    """What Airflow tells of each use case.

    Args:
        client: Of Airflow.
        use_cases: By name; runs of others are left out.
        known: By use case, its incidents.
        now: Processing time, UTC.

    Raises:
        PerennialError: Airflow does not answer, or refuses to; nothing is known then.
    """
    still_open = {name: {each.subject for each in known.get(name, ()) if each.is_open} for name in use_cases}
    found = {name: [Reading(read=REASONS)] for name in use_cases}
    for group in _groups(client, use_cases, still_open, now):
        found[group.use_case].append(_failed(client, use_cases[group.use_case], group, still_open[group.use_case]))
    waiting = client.awaiting_approval()
    for name, its in _approvals(client, use_cases, waiting, still_open).items():
        found[name].append(its)
    running = [run for run in client.runs_in("running") if use_case_name(run.dag) in use_cases]
    asking = {(each.dag, each.run) for each in waiting}
    for name in use_cases:
        own = [run for run in running if use_case_name(run.dag) == name and (run.dag, run.id) not in asking]
        found[name].append(_stuck(client, use_cases[name], own, still_open[name], now))
    return {name: sum(readings, Reading()) for name, readings in found.items()}


def _groups(
    client: AirflowClient, use_cases: Iterable[str], still_open: Mapping[str, set[Subject]], now: datetime
) -> list[_Group]:
    """The groups with a failed run, and those of open incidents."""
    failed = client.runs_in("failed", ended_since=now - LOOKED_BACK)
    groups = dict.fromkeys(_Group.of(run) for run in failed)
    groups |= dict.fromkeys(
        _Group.named(name, about.name)
        for name, opened in still_open.items()
        for about in opened
        if about.reason == "run-failed"
    )
    return [each for each in groups if each.use_case in use_cases and each.pipeline in _PIPELINES]


def _failed(client: AirflowClient, use_case: UseCase, group: _Group, still_open: set[Subject]) -> Reading:
    """Whether the newest run of a group failed; one that is under way decides nothing yet."""
    about = group.subject
    runs = client.newest_runs(group.dag, group.partition)
    newest = next((run for run in runs if not _was_refused(client, run)), None)
    of = f" for {group.partition}" if group.partition else ""
    if newest is None:
        return Reading(endings={about: Ending("Airflow knows no run of it any more")})
    if not newest.is_over:
        return Reading(undecided=frozenset({about}))
    evidence: dict[str, Any] = {"run": newest.id, "ended": newest.ended, "by": newest.by}
    at = f"{newest.ended:%Y-%m-%d %H:%M} UTC" if newest.ended else "an unknown time"
    if newest.state == "success":
        return Reading(
            endings={about: Ending(f"the run {newest.id} of {group.pipeline}{of} succeeded at {at}", evidence)}
        )
    if about not in still_open:
        evidence["tasks"] = _errors(client, newest)
    finding = Finding(
        *about,
        "critical",
        f"{group.pipeline} failed{of}",
        f"The run {newest.id} failed at {at}: what it does is not done{of}.",
        f"{use_case.triage} When that is fixed, clear its failed task in Airflow.",
        client.run_url(newest),
        evidence,
    )
    return Reading((finding,))


def _was_refused(client: AirflowClient, run: DagRun) -> bool:
    """Whether a run failed only because it refused what a person asked for, which is no failure of the pipeline."""
    return run.state == "failed" and run.by is not None and client.was_refused(run)


def _errors(client: AirflowClient, run: DagRun) -> dict[str, str]:
    """By failed task, the end of its log; what cannot be read is left out."""
    try:
        failed = [task for task in client.task_instances(run) if task.state == "failed"][:3]
        return {task.task: "\n".join(client.log_tail(run, task))[-1000:] for task in failed}
    except PerennialError:
        return {}


def _stuck(
    client: AirflowClient, use_case: UseCase, running: Sequence[DagRun], still_open: set[Subject], now: datetime
) -> Reading:
    findings, undecided = [], set()
    for run in running:
        about = _about_run("run-stuck", run)
        if run.started is None or _Group.of(run).pipeline not in _PIPELINES:
            continue
        if about in still_open:  # It still runs; what earlier runs took is told once.
            undecided.add(about)
        elif now - run.started > STUCK_MORE:
            findings += _longer_than_usual(client, use_case, run, about, now)
    gone = {about for about in still_open if about.reason == "run-stuck"} - undecided
    return Reading(
        tuple(findings), {about: _run_ended(client, use_case, about) for about in gone}, undecided=frozenset(undecided)
    )


def _about_run(reason: Reason, run: DagRun) -> Subject:
    """The run by its pipeline and id, which is unique in its DAG only."""
    return Subject(reason, f"{run.dag.partition('.')[2]} {run.id}")


def _longer_than_usual(
    client: AirflowClient, use_case: UseCase, run: DagRun, about: Subject, now: datetime
) -> list[Finding]:
    earlier = client.latest_successes(run.dag, EARLIER)
    took = [(each.ended - each.started).total_seconds() for each in earlier if each.started and each.ended]
    if len(took) < FEWEST or run.started is None:
        return []
    usual, longest = timedelta(seconds=median(took)), timedelta(seconds=max(took))
    limit = max(STUCK_MEDIAN * usual, STUCK_LONGEST * longest) + STUCK_MORE
    if now - run.started <= limit:
        return []
    pipeline = about.name.partition(" ")[0]
    of = f" for {run.partition}" if run.partition else ""
    return [
        Finding(
            *about,
            "warning",
            f"{pipeline} runs much longer{of} than its earlier runs",
            f"It has run for more than {_minutes(limit)}; of its {len(took)} newest successful runs the longest took"
            f" {_minutes(longest)}, the middle one {_minutes(usual)}.",
            f"See its running task and the log in Airflow. {use_case.triage}",
            client.run_url(run),
            {"run": run.id, "started": run.started, "median_seconds": usual.total_seconds()}
            | {"longest_seconds": longest.total_seconds(), "limit_seconds": limit.total_seconds(), "runs": len(took)},
        )
    ]


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min" if span >= timedelta(minutes=2) else f"{span.total_seconds():.0f} s"


def _run_ended(client: AirflowClient, use_case: UseCase, about: Subject) -> Ending:
    pipeline, _, run_id = about.name.partition(" ")
    run = client.find_run(dag_id(use_case.name, pipeline), run_id)
    if run is None:
        return Ending("Airflow knows the run no more")
    state = f"ended: {run.state}" if run.is_over else "waits for a person, or in a queue"
    return Ending(f"the run {state}", {"state": run.state, "started": run.started, "ended": run.ended})


def _approvals(
    client: AirflowClient,
    use_cases: Mapping[str, UseCase],
    waiting: Sequence[ApprovalRequest],
    still_open: Mapping[str, set[Subject]],
) -> dict[str, Reading]:
    found = {}
    for name, use_case in use_cases.items():
        own = {Subject("approval", each.run): each for each in waiting if each.dag == dag_id(name, TRAINING)}
        ended = {about for about in still_open[name] if about.reason == "approval"} - own.keys()
        findings = tuple(_approval(use_case, about, each) for about, each in own.items())
        found[name] = Reading(findings, {about: _answered(client, name, about) for about in ended})
    return found


def _approval(use_case: UseCase, about: Subject, asked: ApprovalRequest) -> Finding:
    limit = use_case.gate.approval_timeout
    return Finding(
        *about,
        "warning",
        f"a promotion waits for approval: {asked.subject}",
        f"The champion stays until somebody decides; after {limit} the version is rejected.",
        "Read the gate's evidence, and approve or reject.",
        f"{page(use_case.name, 'actions', 'answer')}?run={quote(about.name, safe='')}",
        {"run": asked.run, "asked_at": asked.asked_at},
    )


def _answered(client: AirflowClient, name: str, about: Subject) -> Ending:
    answered = client.approval_of(dag_id(name, TRAINING), about.name)
    if answered is None or not answered.chosen:
        return Ending("the run waits for nobody any more")
    by = answered.by or "nobody in time"
    return Ending(f"{answered.chosen} was chosen by {by}", {"chosen": answered.chosen, "by": answered.by})
