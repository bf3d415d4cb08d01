"""What runs of the pipelines cost: a record of each attempt at a task, and sums by month, also in money.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from perennial import lake_cache
from perennial.dag_names import FIT, TRAINING
from perennial.settings import Prices
from perennial.telemetry.measuring import Usage
from perennial.use_case import UseCase
from perennial.use_case.table_names import TableNames

#: The columns that are summed.
_COLUMNS = (
    "partition",
    "pipeline",
    "task",
    "run",
    "state",
    "cpu_seconds",
    "wall_seconds",
    "peak_bytes",
    "read_bytes",
    "written_bytes",
    "recorded_at",
)


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


@dataclass(frozen=True)
class Costs:
    """What the runs of a use case cost.

    Attributes:
        by_month: By month and pipeline, newest month first.
        last_retraining: The newest run of `training` that fitted a model; None: none was recorded.
    """

    by_month: tuple[Cost, ...] = ()
    last_retraining: Cost | None = None

    def newest(self, months: int) -> list[Cost]:
        """Those of the newest months in which anything ran.

        Args:
            months: How many months.
        """
        shown = sorted({each.month for each in self.by_month})[-months:]
        return [each for each in self.by_month if each.month in shown]

    def as_json(self, months: int) -> dict[str, Any]:
        """JSON-ready.

        Args:
            months: How many months, the newest ones.
        """
        last = self.last_retraining
        return {
            "by_month": [each.as_json() for each in self.newest(months)],
            "last_retraining": None if last is None else last.as_json(),
        }


#: Table -> its metadata file and the prices, and the sums of it.
_sums: dict[str, tuple[tuple[str, Prices | None], Costs]] = {}


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


def of_use_cases(use_cases: Sequence[str], prices: Prices | None) -> dict[str, Costs]:
    """What each use case cost.

    The sums of a table that has not changed are not made again: it has a row for each attempt at a task, so it may be
    long where a page may not be slow.

    Args:
        use_cases: Their names.
        prices: The price list; None: no money is told.

    Raises:
        ServiceUnavailable: the lake cannot be reached.
    """
    tables = {name: TableNames(name).run_costs for name in use_cases}
    where = lake_cache.metadata_locations(list(tables.values()))
    state = {table: (where[table], prices) for table in tables.values() if table in where}
    known = {table: _sums[table][1] for table in state if table in _sums and _sums[table][0] == state[table]}
    missing = [table for table in state if table not in known]
    if missing:
        rows = lake_cache.records(missing, dict.fromkeys(missing, _COLUMNS))
        fresh = {table: of_rows(rows[table], prices) for table in missing}
        _sums.update({table: (state[table], fresh[table]) for table in missing})
        known |= fresh
    return {name: known.get(table, Costs()) for name, table in tables.items()}


def of_rows(rows: Sequence[Mapping[str, Any]], prices: Prices | None) -> Costs:
    """The sums of records.

    Args:
        rows: Of the table `run_costs`.
        prices: As for `of_use_cases`.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in rows:
        groups.setdefault((each["partition"], each["pipeline"]), []).append(each)
    by_pipeline = sorted(groups, key=lambda key: key[1])
    ordered = sorted(by_pipeline, key=lambda key: key[0], reverse=True)
    return Costs(tuple(_sum(*key, groups[key], prices) for key in ordered), _last_retraining(rows, prices))


def _last_retraining(rows: Iterable[Mapping[str, Any]], prices: Prices | None) -> Cost | None:
    of_training = [each for each in rows if each["pipeline"] == TRAINING]
    fitted = [each for each in of_training if each["task"] == FIT and each["state"] == "success"]
    if not fitted:
        return None
    last = max(fitted, key=lambda each: each["recorded_at"])
    return _sum(last["partition"], TRAINING, [each for each in of_training if each["run"] == last["run"]], prices)


def in_words(found: Costs, prices: Prices | None) -> str:
    """What the runs of the newest month cost, and one retraining of it.

    Args:
        found: What was recorded; at least one month.
        prices: As for `of_use_cases`.
    """
    newest = found.newest(1)
    runs, cpu, memory = (sum(getattr(each, name) for each in newest) for name in ("runs", "cpu_hours", "gb_hours"))
    told = f"{newest[0].month}: {runs:,} runs, {cpu:,.2f} CPU hours, {memory:,.2f} GB hours"
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
        prices: As for `of_use_cases`; without them there is no `cost_money`.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    from perennial.registry import tracking
    from perennial.registry.mlflow_records import COST_CPU_SECONDS, COST_GB_HOURS, COST_MONEY

    total = _sum("", TRAINING, list(rows), prices)
    metrics = {COST_CPU_SECONDS: total.cpu_hours * 3600, COST_GB_HOURS: total.gb_hours, COST_MONEY: total.money}
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
