"""What runs of the pipelines cost: a record of each attempt at a task, and sums by month, also in money.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from perennial import lake_cache
from perennial.dag_names import TRAINING
from perennial.settings import Prices
from perennial.telemetry.measuring import Usage
from perennial.use_case import UseCase
from perennial.use_case.table_names import TableNames


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task of a run.

    Attributes:
        run: The DAG run, as MLflow and the lake record it: `<DAG>/<run>`.
        map_index: Of a mapped task; -1: it is none.
        number: Of the attempt, from 1.
        state: How it ended, as Airflow says it.
        of_partition: The run's partition; None: it has none.
    """

    pipeline: str
    task: str
    run: str
    map_index: int
    number: int
    state: str
    of_partition: str | None


@dataclass(frozen=True)
class Cost:
    """What the runs of one pipeline cost in one month of processing time.

    Attributes:
        month: As `2026-11`, UTC.
        runs: Those that were recorded.
        gb_hours: Each attempt's peak memory times how long it took, in 10^9 bytes: an upper bound.
        gb_read, gb_written: In 10^9 bytes.
        money: By the price list; None: there is none.
    """

    month: str
    pipeline: str
    runs: int
    cpu_hours: float
    gb_hours: float
    gb_read: float
    gb_written: float
    money: float | None

    @property
    def money_a_run(self) -> float | None:
        """The mean of its runs; None: no price is set."""
        return None if self.money is None else self.money / self.runs

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"money_a_run": self.money_a_run}


def row(attempt: Attempt, usage: Usage, now: datetime) -> dict[str, Any]:
    """The record of an attempt, without its month; JSON-ready.

    Args:
        attempt: Which.
        usage: What it used.
        now: The moment of the record; processing time, UTC.
    """
    told = asdict(attempt)
    told["attempt"] = told.pop("number")
    return told | asdict(usage) | {"recorded_at": now.isoformat()}


def record(use_case: UseCase, rows: Iterable[Mapping[str, Any]]) -> int:
    """Append records of attempts that are not in the lake yet, in one commit; return how many were appended.

    Args:
        use_case: Whose.
        rows: As `row` returns them.

    Raises:
        ServiceUnavailable: the lake cannot be reached.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import RUN_COSTS

    told = [dict(each) | {"recorded_at": datetime.fromisoformat(each["recorded_at"])} for each in rows]
    for each in told:
        each["partition"] = f"{each['recorded_at'].astimezone(UTC):%Y-%m}"
    table = pa.Table.from_pylist(told, schema=RUN_COSTS)
    key = ("run", "task", "map_index", "attempt")
    return lake.append_missing(use_case.tables.run_costs, table, key=key).num_rows


def by_month(use_cases: Sequence[str], prices: Prices | None) -> dict[str, list[Cost]]:
    """What each use case cost, by month and pipeline, newest month first.

    Args:
        use_cases: Their names.
        prices: The price list; None: no money is told.

    Raises:
        ServiceUnavailable: the lake cannot be reached.
    """
    tables = {name: TableNames(name).run_costs for name in use_cases}
    rows = lake_cache.records(list(tables.values()))
    return {name: of_rows(rows[table], prices) for name, table in tables.items()}


def of_rows(rows: Iterable[Mapping[str, Any]], prices: Prices | None) -> list[Cost]:
    """The sums of records by month and pipeline.

    Args:
        rows: Of the table `run_costs`.
        prices: As for `by_month`.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in rows:
        groups.setdefault((each["partition"], each["pipeline"]), []).append(each)
    newest = sorted(groups, key=lambda key: key[1])
    return [_sum(*key, groups[key], prices) for key in sorted(newest, key=lambda key: key[0], reverse=True)]


def in_words(found: Sequence[Cost], prices: Prices | None) -> str:
    """What the runs of the newest month cost, and one retraining of it.

    Args:
        found: As `of_rows` returns it; at least one.
        prices: As for `by_month`.
    """
    newest = [each for each in found if each.month == found[0].month]
    runs, cpu, memory = (sum(getattr(each, name) for each in newest) for name in ("runs", "cpu_hours", "gb_hours"))
    told = f"{found[0].month}: {runs:,} runs, {cpu:,.2f} CPU hours, {memory:,.2f} GB hours"
    if prices is None:
        return told
    told += f", {amount(sum(each.money or 0 for each in newest), prices)}"
    training = next((each.money_a_run for each in newest if each.pipeline == TRAINING), None)
    return told if training is None else f"{told}; a retraining {amount(training, prices)}"


def amount(money: float, prices: Prices) -> str:
    """An amount for people: of runs, which may cost less than a hundredth of a unit.

    Args:
        money: How much.
        prices: Whose currency it is in.
    """
    return f"{money:,.4f} {prices.currency}".rstrip()


def log_to_mlflow(use_case: UseCase, run: str, rows: Iterable[Mapping[str, Any]], prices: Prices | None) -> None:
    """Log what a training run cost to its MLflow run, if it has one: `cost_cpu_seconds`, `cost_gb_hours`, `cost_money`.

    Args:
        use_case: Whose.
        run: The DAG run, as in the records.
        rows: Of its attempts.
        prices: As for `by_month`; without them there is no `cost_money`.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    from perennial.registry import tracking

    total = _sum("", TRAINING, list(rows), prices)
    metrics = {"cost_cpu_seconds": total.cpu_hours * 3600, "cost_gb_hours": total.gb_hours, "cost_money": total.money}
    with tracking.reachable():
        found = tracking.find_run(use_case, TRAINING, run)
        if found is not None:
            for name, value in metrics.items():
                if value is not None:
                    tracking.client().log_metric(found, name, value)


def _sum(month: str, pipeline: str, rows: Sequence[Mapping[str, Any]], prices: Prices | None) -> Cost:
    cpu_hours = sum(each["cpu_seconds"] for each in rows) / 3600
    gb_hours = sum(each["peak_bytes"] / 1e9 * each["wall_seconds"] for each in rows) / 3600
    gb_read = sum(each["read_bytes"] or 0 for each in rows) / 1e9
    gb_written = sum(each["written_bytes"] or 0 for each in rows) / 1e9
    money = None
    if prices is not None:
        money = (
            prices.cpu_hour * cpu_hours
            + prices.gb_hour * gb_hours
            + prices.gb_read * gb_read
            + prices.gb_written * gb_written
        )
    return Cost(month, pipeline, len({each["run"] for each in rows}), cpu_hours, gb_hours, gb_read, gb_written, money)
