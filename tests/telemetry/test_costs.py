"""What runs cost: what a process used, recorded once, summed by month, and in money by a price list."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from perennial import lake
from perennial.cli import app
from perennial.orchestration import run_costs
from perennial.settings import Prices, settings
from perennial.telemetry import costs, measuring
from perennial.telemetry.costs import Attempt
from perennial.telemetry.measuring import Usage
from perennial.use_case import UseCase

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
USED = Usage(cpu_seconds=1800.0, wall_seconds=3600.0, peak_bytes=2 * 10**9, read_bytes=3 * 10**9, written_bytes=None)
#: Uses 0.3 s of CPU by itself and 0.3 s by a child, 200 MB, and writes 5 MB.
_BUSY = """
import json, subprocess, sys, time
from dataclasses import asdict
from perennial.telemetry import measuring
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
before = measuring.of_this_process()
held = bytearray(200_000_000)
begun = time.process_time()
while time.process_time() < begun + 0.3:
    pass
with open(sys.argv[1], "wb") as file:
    file.write(bytes(5_000_000))
print(json.dumps([asdict(before), asdict(measuring.of_this_process())]))
"""


def attempt(task: str = "fit", number: int = 1, run: str = "energy.training/a") -> Attempt:
    return Attempt("training", task, run, -1, number, "success", None)


def test_a_process_is_measured_with_its_children(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BUSY, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    before, after = (Usage(**each) for each in json.loads(done.stdout))
    assert before.cpu_seconds > 0.3  # The child's.
    assert 0.3 <= after.cpu_seconds - before.cpu_seconds < 1.5
    assert after.wall_seconds >= after.cpu_seconds - before.cpu_seconds
    assert after.peak_bytes >= 200_000_000
    assert after.written_bytes is not None
    assert before.written_bytes is not None
    assert 5_000_000 <= after.written_bytes - before.written_bytes < 6_000_000


def test_sums_by_month_and_pipeline_in_money() -> None:
    told = [
        costs.row(attempt("fit"), USED, NOON) | {"partition": "2026-01"},
        costs.row(attempt("evaluate"), USED, NOON) | {"partition": "2026-01"},
        costs.row(attempt("fit", run="energy.training/b"), USED, NOON) | {"partition": "2026-02"},
    ]
    newest, oldest = costs.of_rows(told, Prices(cpu_hour=2, gb_hour=0.5, gb_read=0.1, gb_written=9)).by_month
    assert (newest.month, oldest.month) == ("2026-02", "2026-01")
    assert (oldest.runs, oldest.cpu_hours, oldest.gb_hours, oldest.gb_read, oldest.gb_written) == (1, 1, 4, 6, 0)
    assert oldest.money == oldest.money_a_run == pytest.approx(2 + 2 + 0.6)
    assert newest.money == pytest.approx(1 + 1 + 0.3)
    assert costs.of_rows(told, None).by_month[0].money_a_run is None


def test_the_last_retraining_is_the_newest_that_fitted() -> None:
    later, latest = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    told = [
        costs.row(attempt("fit"), USED, NOON) | {"partition": "2026-01"},
        costs.row(attempt("plan", run="energy.training/b"), USED, later) | {"partition": "2026-02"},
        costs.row(attempt("fit", run="energy.training/b"), USED, later) | {"partition": "2026-02"},
        costs.row(attempt("plan", run="energy.training/c"), USED, latest) | {"partition": "2026-03"},
    ]
    last = costs.of_rows(told, Prices(cpu_hour=2)).last_retraining
    assert last is not None
    assert (last.month, last.runs, last.cpu_hours, last.money) == ("2026-02", 1, 1.0, 2.0)
    assert costs.of_rows(told[3:], None).last_retraining is None


@pytest.mark.usefixtures("project")
def test_sums_follow_the_lake_and_the_prices(energy: UseCase) -> None:
    other = energy.model_copy(update={"name": "solar"})
    name = other.name
    assert costs.of_use_cases([name], None)[name].by_month == ()
    for number in (1, 2):
        costs.record(other, [costs.row(attempt("fit", number), USED, NOON)])
        (month,) = costs.of_use_cases([name], None)[name].by_month
        assert month.cpu_hours == number * 0.5
        assert costs.of_use_cases([name], None)[name].by_month[0] is month
    assert costs.of_use_cases([name], Prices(cpu_hour=2))[name].by_month[0].money == 2.0


def test_a_month_and_a_retraining_in_words() -> None:
    told = [costs.row(attempt(run=f"energy.training/{run}"), USED, NOON) | {"partition": "2026-01"} for run in "ab"]
    prices = Prices(currency="EUR", cpu_hour=0.001)
    assert costs.in_words(costs.of_rows(told, prices), prices) == (
        "2026-01: 2 runs, 1.00 CPU hours, 4.00 GB hours, 0.0010 EUR; a retraining 0.0005 EUR"
    )
    assert costs.in_words(costs.of_rows(told, None), None) == "2026-01: 2 runs, 1.00 CPU hours, 4.00 GB hours"


class Ended:
    """A task that has ended, as Airflow's callbacks see it; what tasks left is shared."""

    def __init__(self, left: dict[str, Any], task: str, before: set[str], after: set[str], number: int = 1) -> None:
        self.dag_id, self.task_id, self.map_index, self.try_number = "energy.rollout", task, -1, number
        self.task = SimpleNamespace(downstream_task_ids=after, get_flat_relative_ids=lambda upstream: before)
        self._left = left

    def xcom_push(self, key: str, value: Any) -> None:
        json.dumps(value)
        self._left[self.task_id] = value

    def xcom_pull(self, task_ids: list[str], key: str) -> list[Any]:
        return [self._left.get(task) for task in task_ids]

    def context(self) -> Any:
        run = SimpleNamespace(dag_id=self.dag_id, run_id="by-hand", partition_key="2024-01-02")
        return {"ti": self, "dag_run": run}


def recorded(use_case: UseCase) -> list[tuple[str, int, str]]:
    rows = lake.records(use_case.tables.run_costs)
    return sorted((row["task"], row["attempt"], row["state"]) for row in rows)


@pytest.mark.usefixtures("project")
def test_the_last_task_of_a_run_records_all(energy: UseCase) -> None:
    left: dict[str, Any] = {}
    run_costs.after_success(Ended(left, "plan", set(), {"fit"}).context())
    assert recorded(energy) == []
    run_costs.before_retry(Ended(left, "fit", {"plan"}, {"finalize"}).context())
    run_costs.after_success(Ended(left, "fit", {"plan"}, {"finalize"}, number=2).context())
    last = Ended(left, "finalize", {"plan", "fit", "search"}, set())
    for _ in range(2):
        run_costs.after_skip(last.context())
    assert recorded(energy) == [
        ("finalize", 1, "skipped"),
        ("fit", 1, "up_for_retry"),
        ("fit", 2, "success"),
        ("plan", 1, "success"),
    ]
    (row, *_) = lake.records(energy.tables.run_costs)
    assert row["partition"] == f"{row['recorded_at']:%Y-%m}"
    assert (row["run"], row["of_partition"]) == ("energy.rollout/by-hand", "2024-01-02")
    shown = json.loads(CliRunner().invoke(app, ["costs", "energy", "--json"]).stdout)
    ((cost,),) = [shown["use_cases"]["energy"]]
    assert (cost["pipeline"], cost["runs"], cost["money"]) == ("rollout", 1, None)
    status = json.loads(CliRunner().invoke(app, ["status", "energy", "--json"]).stdout)
    assert status["costs"] == {"currency": "", "by_month": [cost], "last_retraining": None}


def test_a_cost_that_cannot_be_recorded_fails_no_task(caplog: pytest.LogCaptureFixture) -> None:
    run_costs.after_success({})  # type: ignore[typeddict-item]
    assert "What this task used is not recorded" in caplog.text


def test_prices_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PRICES", '{"currency": "EUR", "cpu_hour": 0.04}')
    settings.cache_clear()
    try:
        assert settings().prices == Prices(currency="EUR", cpu_hour=0.04)
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_usage_has_a_column_for_everything() -> None:
    from perennial.lake.schemas import RUN_COSTS

    told = costs.row(attempt(), measuring.of_this_process(), NOON)
    assert {"partition", *told} == set(RUN_COSTS.names)
    assert asdict(USED).keys() <= told.keys()
