"""What Airflow's runs tell, from an Airflow of a few runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.alerts import airflow_findings
from perennial.alerts.changes import changes
from perennial.alerts.findings import Reading
from perennial.alerts.incidents import Incident, Subject
from perennial.services.airflow_records import ApprovalRequest, DagRun, TaskInstance
from perennial.use_case import UseCase

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Airflow:
    """What `AirflowClient` is to the code under test: runs, the oldest first, and requests for approval."""

    def __init__(self, *runs: DagRun, approvals: Sequence[ApprovalRequest] = (), refused: Sequence[str] = ()) -> None:
        self.runs, self.approvals, self.refused = [*runs], [*approvals], refused

    def runs_in(self, state: str, *, ended_since: datetime | None = None) -> list[DagRun]:
        found = [each for each in reversed(self.runs) if each.state == state]
        return [each for each in found if ended_since is None or (each.ended and each.ended >= ended_since)]

    def newest_runs(self, dag: str, partition: str | None = None, count: int = 20) -> list[DagRun]:
        return [each for each in reversed(self.runs) if each.dag == dag and partition in (None, each.partition)][:count]

    def find_run(self, dag: str, run_id: str) -> DagRun | None:
        return next((each for each in self.runs if (each.dag, each.id) == (dag, run_id)), None)

    def latest_successes(self, dag: str, count: int = 5) -> list[DagRun]:
        return [each for each in self.newest_runs(dag, count=1000) if each.state == "success"][:count]

    def was_refused(self, run: DagRun) -> bool:
        return run.id in self.refused

    def awaiting_approval(self) -> list[ApprovalRequest]:
        return [each for each in self.approvals if not each.chosen]

    def approval_of(self, dag: str, run_id: str) -> ApprovalRequest | None:
        return next((each for each in self.approvals if (each.dag, each.run) == (dag, run_id)), None)

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        return [TaskInstance("compute", run.state, 1, -1)]

    def log_tail(self, run: DagRun, task: TaskInstance) -> list[str]:
        return ["ValueError: no such column"]

    def run_url(self, run: DagRun) -> str:
        return f"http://airflow/{run.dag}/{run.id}"


def run(name: str, state: str = "failed", day: str | None = "2024-01-03", dag: str = "features", **more: Any) -> DagRun:
    fields = {
        "queued": NOW,
        "started": NOW - timedelta(minutes=9),
        "ended": None if state == "running" else NOW,
        "conf": {},
    }
    return DagRun(f"energy.{dag}", name, state, day, **fields | more)


def read(airflow: Airflow, energy: UseCase, known: Sequence[Incident] = (), now: datetime = NOW) -> Reading:
    return airflow_findings.read(airflow, {"energy": energy}, {"energy": known}, now)["energy"]  # type: ignore[arg-type]


def after(airflow: Airflow, energy: UseCase, known: Sequence[Incident] = (), now: datetime = NOW) -> list[Incident]:
    """The incidents after a look."""
    events = [event for each in known for event in each.events]
    events += changes("energy", "ann", known, read(airflow, energy, known, now), now)
    ids = dict.fromkeys(each.incident for each in events)
    return [Incident(tuple(each for each in events if each.incident == identity)) for identity in ids]


def test_a_failed_run_is_closed_by_a_later_success_on_its_partition_only(energy: UseCase) -> None:
    airflow = Airflow(run("one"))
    (opened,) = after(airflow, energy)
    assert opened.subject == ("run-failed", "features 2024-01-03")
    assert (opened.latest.severity, opened.latest.title) == ("critical", "features failed for 2024-01-03")
    assert opened.latest.evidence["tasks"] == {"compute": "ValueError: no such column"}
    airflow.runs.append(run("other", "success", "2024-01-04"))
    assert after(airflow, energy, [opened]) == [opened]
    airflow.runs.append(run("two", "running"))
    assert after(airflow, energy, [opened]) == [opened], "nothing is known while it runs"
    airflow.runs[-1] = run("two", "success")
    (closed,) = after(airflow, energy, [opened])
    assert closed.latest.note == "the run two of features for 2024-01-03 succeeded at 2026-01-01 12:00 UTC"


def test_a_run_that_was_cleared_keeps_it_open_until_it_has_succeeded(energy: UseCase) -> None:
    (opened,) = after(Airflow(run("one")), energy)
    assert after(Airflow(run("one", "running")), energy, [opened]) == [opened]
    assert not after(Airflow(run("one", "success")), energy, [opened])[0].is_open


def test_a_later_failure_updates_it(energy: UseCase) -> None:
    airflow = Airflow(run("one"))
    known = after(airflow, energy)
    airflow.runs.append(run("two", ended=NOW + timedelta(hours=1)))
    (updated,) = after(airflow, energy, known)
    assert [each.event for each in updated.events] == ["opened", "updated"]
    assert "The run two failed at 2026-01-01 13:00 UTC" in updated.latest.meaning


def test_of_training_only_the_newest_run_counts(energy: UseCase) -> None:
    airflow = Airflow(run("one", dag="training", day="2024-01-02"), run("two", "success", "2024-01-03", "training"))
    assert after(airflow, energy) == []


def test_what_refused_a_persons_wish_is_no_failure(energy: UseCase) -> None:
    refused = run("asked", dag="champion", day=None, by="ann")
    assert after(Airflow(refused, refused=["asked"]), energy) == []
    assert len(after(Airflow(refused), energy)) == 1
    assert len(after(Airflow(replace(refused, by=None), refused=["asked"]), energy)) == 1


def test_runs_of_other_dags_and_of_long_ago_open_nothing(energy: UseCase) -> None:
    stranger = replace(run("one"), dag="somebody.elses")
    unknown = run("one", dag="of_mine")
    old = run("one", ended=NOW - timedelta(days=15))
    assert after(Airflow(stranger, unknown, old), energy) == []


def test_an_open_failure_of_long_ago_is_closed_by_its_success(energy: UseCase) -> None:
    known = after(Airflow(run("one")), energy)
    later = NOW + timedelta(days=20)
    assert after(Airflow(run("one")), energy, known, later) == known
    assert not after(Airflow(run("one"), run("two", "success")), energy, known, later)[0].is_open


def test_a_run_is_stuck_by_what_its_earlier_runs_took(energy: UseCase) -> None:
    earlier = [run(str(n), "success", started=NOW - timedelta(minutes=n + 1)) for n in range(5)]
    slow = run("slow", "running", started=NOW - timedelta(minutes=20))
    assert after(Airflow(*earlier[:4], slow), energy, now=NOW + timedelta(hours=5)) == [], "too few to tell"
    assert after(Airflow(*earlier, slow), energy, now=NOW - timedelta(minutes=1)) == []
    (opened,) = after(Airflow(*earlier, slow), energy)
    assert opened.latest.title == "features runs much longer for 2024-01-03 than its earlier runs"
    assert (
        "It has run for more than 19 min; of its 5 newest successful runs the longest took 5 min"
        in opened.latest.meaning
    )
    earlier.append(run("6", "success", started=NOW - timedelta(minutes=15)))
    assert after(Airflow(*earlier, slow), energy, [opened]) == [opened], "told once"
    (closed,) = after(Airflow(*earlier, replace(slow, state="failed", ended=NOW, started=NOW)), energy, [opened])[:1]
    assert closed.latest.note == "the run ended: failed"


def test_an_approval_waits_until_somebody_chose(energy: UseCase) -> None:
    asked = ApprovalRequest("energy.training", "r 1", "Promote?", NOW)
    waiting = run("r 1", "running", dag="training", started=NOW - timedelta(days=2))
    earlier = [run(str(n), "success", dag="training") for n in range(9)]
    (opened,) = after(Airflow(*earlier, waiting, approvals=[asked]), energy)
    assert opened.subject == Subject("approval", "r 1"), "and it is not stuck"
    assert opened.latest.link.endswith("/use_cases/energy/actions/answer?run=r%201")
    answered = replace(asked, chosen="Approve", by="ann")
    (closed,) = after(Airflow(approvals=[answered]), energy, [opened])
    assert closed.latest.note == "Approve was chosen by ann"


@pytest.mark.parametrize("name", ["features 2024-01-03", "training"])
def test_a_subject_names_its_group_again(name: str) -> None:
    assert airflow_findings._Group.named("energy", name).subject == Subject("run-failed", name)
