"""Drift alarms on real flights: how often they are false, what they find, and what counting costs.

    .venv/bin/python benchmarks/drift.py            # about four minutes of CPU
    .venv/bin/python benchmarks/drift.py speed      # only the counting

A world without drift is made of real rows: those of nine months in a random order of rows, or of whole days, so that
all of its windows are of one distribution. Two thirds of it train a profile, windows come from the rest. Nothing of the
method is set by hand for a world: what is normal in it is learnt from its training part.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bare
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import environment

from perennial import UseCase, discovery, drift
from perennial.drift import ColumnCounts, Limits, Profile

SHUFFLES, WINDOWS = 5, 40
#: One window in so many is also judged with something done to it, in each way.
CHANGED = 4
MONTH = 30
#: Windows of each kind that stock Evidently judges too; it needs a hundred times as long.
STOCK_WINDOWS = 10
#: What a change of unit multiplies by, and adds.
UNITS = {
    "distance": (1.609, 0.0),  # miles to kilometres
    "weather_temp": (5 / 9, -160 / 9),  # Fahrenheit to Celsius
    "weather_wind_speed": (0.447, 0.0),  # miles an hour to metres a second
    "weather_pressure": (0.02953, 0.0),  # millibars to inches of mercury
    "carrier_mean_delay_7d": (1 / 60, 0.0),  # minutes to hours
    "route_mean_delay_28d": (60.0, 0.0),  # minutes to seconds
    "carrier_late_rate_1d": (100.0, 0.0),  # a share to per cent
}


@dataclass(frozen=True)
class Injected:
    """A window with something done to one column."""

    column: str
    rows: pl.DataFrame


def main(which: str = "all") -> None:
    use_case = discovery.load("flights")
    with tempfile.TemporaryDirectory(prefix="drift-") as name:
        months = list(use_case.first.through(use_case.partition("2013-09")))
        for month in months:
            bare.month(use_case, month, Path(name))
        rows = bare.joined(use_case, months, Path(name)).select("event_timestamp", *bare._columns(use_case))
    if which in ("all", "alarms"):
        print("| world | judge | false alarms | shift of 0.3 sd | of 1 sd | category gone | unit changed | null |")
        print("|---|---|---|---|---|---|---|---|")
        for world in (by_rows, by_days):
            report(use_case, world, rows)
    if which in ("all", "speed"):
        speed(use_case, rows)


def report(use_case: UseCase, world: Callable[..., Any], rows: pl.DataFrame) -> None:
    """Two lines of the table: ours on all windows, stock Evidently on some of them."""
    ours: dict[str, list[tuple[str, bool]]] = {}
    stock: dict[str, list[tuple[str, bool]]] = {}
    for seed in range(SHUFFLES):
        random = np.random.default_rng(seed)
        training, windows = world(rows, random)
        monitor = Monitor(use_case, Profile.of(use_case, training.to_arrow()))
        for number, window in enumerate(windows):
            judged = {"nothing": Injected("", window)}
            if number % CHANGED == 0:
                judged |= injections(window, random)
            for kind, injected in judged.items():
                ours.setdefault(kind, []).append((injected.column, monitor.finds(injected)))
                if number < STOCK_WINDOWS // SHUFFLES:
                    stock.setdefault(kind, []).append((injected.column, is_detected_by_stock(training, injected)))
    for judge, results in (("Perennial", ours), ("stock Evidently", stock)):
        changed = len(results["shift"])
        rates = {kind: float(np.mean([hit for _, hit in hits])) for kind, hits in results.items()}
        print(
            f"| {world.__doc__} | {judge}, {len(results['nothing'])} windows, {changed} changed | "
            + " | ".join(f"{rates[kind]:.1%}" for kind in ("nothing", "shift", "far", "vanish", "unit", "null"))
            + " |"
        )
    tried = len({c for c, _ in ours["shift"]})
    print(f"  columns shifted: {tried}", file=sys.stderr)
    missed = {kind: sorted({c for c, hit in hits if not hit}) for kind, hits in ours.items() if kind != "nothing"}
    print("  missed: " + "; ".join(f"{kind}: {', '.join(names)}" for kind, names in missed.items() if names))


def by_rows(rows: pl.DataFrame, random: np.random.Generator) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """rows shuffled"""
    shuffled = rows.sample(fraction=1, shuffle=True, seed=int(random.integers(2**31)))
    days = rows["event_timestamp"].dt.truncate("1d").n_unique()
    return _split(shuffled.with_columns(day=pl.int_range(pl.len()) * days // pl.len()), random)


def by_days(rows: pl.DataFrame, random: np.random.Generator) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """days shuffled"""
    real = rows["event_timestamp"].dt.truncate("1d").rank("dense").cast(pl.Int64) - 1
    order = pl.Series(random.permutation(real.max() + 1))
    return _split(rows.with_columns(day=order.gather(real)), random)


def _split(rows: pl.DataFrame, random: np.random.Generator) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """Two thirds of the days to train on, at times of their own; windows of as many rows as a month from the others."""
    start = datetime(2013, 1, 1, tzinfo=UTC)
    rows = rows.with_columns(
        event_timestamp=pl.lit(start).cast(pl.Datetime("us", "UTC")) + pl.duration(days=pl.col("day"))
    )
    trained = int(rows["day"].max() * 2 / 3)
    training = rows.filter(pl.col("day") < trained).sort("event_timestamp").drop("day")
    later = rows.filter(pl.col("day") >= trained)
    days = later["day"].unique().to_numpy()

    def windows() -> Iterator[pl.DataFrame]:
        for _ in range(WINDOWS):
            yield later.filter(pl.col("day").is_in(random.permutation(days)[:MONTH].tolist())).drop("day")

    return training, windows()


def injections(window: pl.DataFrame, random: np.random.Generator) -> dict[str, Injected]:
    """The window with one column of it changed, in each of five ways; which column is drawn by chance."""
    numbers = [name for name in window.columns if window[name].dtype.is_numeric()]
    categories = [name for name in window.columns if window[name].dtype == pl.String]
    shifted, unit, nulled = random.choice(numbers), random.choice(list(UNITS)), random.choice(numbers + categories)
    category = random.choice(categories)
    counts = window[category].value_counts()
    common = counts.filter(pl.col("count") >= 0.01 * window.height)[category].to_list()
    times, plus = UNITS[unit]
    deviation = float(window[shifted].std())
    return {
        "shift": Injected(shifted, window.with_columns(pl.col(shifted) + 0.3 * deviation)),
        "far": Injected(shifted, window.with_columns(pl.col(shifted) + deviation)),
        "vanish": Injected(category, window.filter(pl.col(category) != random.choice(sorted(common)))),
        "unit": Injected(unit, window.with_columns(pl.col(unit) * times + plus)),
        "null": Injected(nulled, window.with_columns(pl.lit(None, window[nulled].dtype).alias(nulled))),
    }


class Monitor:
    """What a monitor does with a window, but for the limits, which are made once for windows of about one size."""

    def __init__(self, use_case: UseCase, profile: Profile) -> None:
        self.use_case, self.profile = use_case, profile
        self.limits: dict[int, Limits] = {}

    def finds(self, injected: Injected) -> bool:
        """Whether the changed column, or any where none was, is called drifted: the partition is a warning at least."""
        counted = ColumnCounts.of(self.profile, [injected.rows.drop("event_timestamp").to_arrow()])
        size = round(counted.rows / 4_000)
        if size not in self.limits:
            self.limits[size] = drift.limits(self.use_case, self.profile, counted.rows)
        partition = self.use_case.partition("2013-12")
        columns = drift.compare(self.use_case, self.profile, partition, counted, self.limits[size])
        drifted = {column.column for column in columns if column.drifted}
        return injected.column in drifted if injected.column else bool(drifted)


def is_detected_by_stock(training: pl.DataFrame, injected: Injected) -> bool:
    """The same by Evidently's default tests and thresholds; of the changed column only, as columns are judged apart."""
    from evidently import Dataset, Report
    from evidently.metrics import ValueDrift

    names = [injected.column] if injected.column else [n for n in training.columns if n != "event_timestamp"]
    reference = training.sample(min(training.height, injected.rows.height), seed=0).select(names).to_pandas()
    current = injected.rows.select(names).to_pandas()
    try:
        snapshot = Report([ValueDrift(column=name) for name in names]).run(
            Dataset.from_pandas(current), Dataset.from_pandas(reference)
        )
    except ValueError:
        return True  # An empty column makes it raise, which nobody overlooks.
    # Above a thousand rows its defaults are distances, with a threshold of 0.1.
    return any(float(metric["value"]) >= 0.1 for metric in snapshot.dict()["metrics"])


def speed(use_case: UseCase, rows: pl.DataFrame) -> None:
    """Counting 3.4 million rows of 20 columns, beside the same histograms by NumPy and DuckDB, on one thread each."""
    columns = ["carrier", "origin", "dest", *[n for n in rows.columns if rows[n].dtype == pl.Float64][:17]]
    profile = Profile.of(use_case, rows.select("event_timestamp", *columns).to_arrow())
    table = pl.concat([rows.select(columns)] * (3_400_000 // rows.height + 1)).head(3_400_000).to_arrow()
    bins = {name: column.bins for name, column in profile.columns.items()}
    table = pa.table({name: _plain(table[name]) for name in columns})
    ours, result = _timed(lambda: ColumnCounts.of(profile, table.to_batches(max_chunksize=131_072)))
    by_numpy, arrays = _timed(lambda: _by_numpy(table, bins))
    with duckdb.connect(config={"threads": 1}) as engine:
        engine.register("rows", table)
        by_duckdb, counted = _timed(lambda: _by_duckdb(engine, bins))
    for name, counts in arrays.items():
        assert (counts == result.columns[name]).all(), name
    for name, total in counted.items():
        assert total == result.columns[name].sum(), name
    print(
        f"\n{table.num_rows:,} rows, {len(columns)} columns, CPU s: Perennial {ours:.2f}, NumPy {by_numpy:.2f},"
        f" DuckDB {by_duckdb:.2f}: {ours / min(by_numpy, by_duckdb):.2f} times the faster"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(table, file, row_group_size=131_072)
        peaks = [_peak(file, bins) for bins in ({}, bins)]
    print(
        f"From a file of {table.nbytes / 1e6:.0f} MB of values, a batch at a time: {peaks[1] - peaks[0]:.0f} MB of"
        " memory beside that of reading it"
    )
    judged, columns_found = _timed(lambda: drift.compare(use_case, profile, use_case.partition("2013-12"), result))
    paged, page = _timed(lambda: drift.html_report(profile, result, columns_found))
    print(f"Judging the counts {judged:.2f} s, Evidently's page of them {paged:.2f} s ({len(page) / 1e6:.1f} MB)")


def _peak(file: Path, bins: dict[str, Any]) -> float:
    """Megabytes that a process of its own needs at most to count a file's columns."""
    code = (
        "import pickle, resource, sys\n"
        "import pyarrow.parquet as pq\n"
        "from perennial.drift.bins import count\n"
        "bins = pickle.load(sys.stdin.buffer)\n"
        f"count(bins, pq.ParquetFile({str(file)!r}).iter_batches(batch_size=131_072))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=pickle.dumps(bins), env=environment(), check=True, capture_output=True)
    return float(done.stdout)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return (
        values.cast(pa.string())
        if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type)
        else values
    )


def _by_numpy(table: pa.Table, bins: dict[str, Any]) -> dict[str, np.ndarray]:
    """Each column as one array; text by Arrow, as NumPy's own `unique` sorts it for a minute."""
    by_column = {}
    for name, one in bins.items():
        if one.kind == "category":
            counts = {item["values"]: item["counts"] for item in table[name].value_counts().to_pylist()}
            by_column[name] = np.array([*(counts.get(value, 0) for value in one.values), 0, counts.get(None, 0)])
        else:
            values = table[name].to_numpy()
            places = np.searchsorted(np.asarray(one.edges), values, side="right")
            places[np.isnan(values)] = one.size - 1
            by_column[name] = np.bincount(places, minlength=one.size)
    return by_column


def _by_duckdb(engine: duckdb.DuckDBPyConnection, bins: dict[str, Any]) -> dict[str, int]:
    """One statement, one pass; the result is how many rows each histogram holds."""
    parts = [
        f'histogram("{name}")' if one.kind == "category" else f'histogram("{name}", {list(one.edges)}::DOUBLE[])'
        for name, one in bins.items()
    ]
    nulls = ", ".join(f'count(*) - count("{name}")' for name in bins)
    (row,) = engine.execute(f"SELECT {', '.join(parts)}, {nulls} FROM rows").fetchall()  # noqa: S608
    width = len(bins)
    return {name: sum(row[i].values()) + row[width + i] for i, name in enumerate(bins)}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, the least of three."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        result = work()
        least = min(least, time.process_time() - began)
    return least, result


if __name__ == "__main__":
    main(*sys.argv[1:])
