"""Validation beside its limit: 15 expectations on a year of flights, and on ten times as many.

    python benchmarks/validation.py            # once and ten times
    python benchmarks/validation.py 1          # only once

Three ways over the same Arrow table: Perennial's, Great Expectations on pandas, and the same conditions as one query of
DuckDB. Each runs in a process of its own, so that its peak of memory is its own; the best of three runs counts, because
others may share the machine. Great Expectations runs once: it takes longer than the noise.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WAYS = ("perennial", "duckdb", "stock")
LIMIT = 3.0


def suite() -> list:
    """Fifteen expectations about flights: of rows, of pairs, of the batch; unique keys too."""
    import great_expectations.expectations as gxe

    critical = {"severity": "critical"}
    return [
        gxe.ExpectColumnValuesToBeUnique(column="flight_id", **critical),
        gxe.ExpectColumnValuesToNotBeNull(column="flight_id", **critical),
        gxe.ExpectColumnValuesToNotBeNull(column="carrier", **critical),
        gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=["EWR", "JFK", "LGA"], **critical),
        gxe.ExpectColumnValuesToMatchRegex(column="carrier", regex="^[A-Z0-9]{2}$", **critical),
        gxe.ExpectColumnValuesToMatchRegex(column="dest", regex="^[A-Z]{3}$", **critical),
        gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=50, max_value=6_000, **critical),
        gxe.ExpectColumnValuesToBeBetween(column="hour", min_value=0, max_value=23, **critical),
        gxe.ExpectColumnValuesToBeBetween(column="air_time", min_value=10, max_value=1_200, **critical),
        gxe.ExpectColumnValuesToBeBetween(column="dep_delay", min_value=-90, max_value=2_880, **critical),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="arrived_at", column_B="departed_at", ignore_row_if="either_value_is_missing", **critical
        ),
        gxe.ExpectColumnMeanToBeBetween(column="arr_delay", min_value=-30, max_value=60, **critical),
        gxe.ExpectColumnMaxToBeBetween(column="arr_delay", max_value=2_880, **critical),
        gxe.ExpectColumnValueLengthsToBeBetween(column="tailnum", min_value=3, max_value=7, severity="warning"),
        gxe.ExpectTableRowCountToBeBetween(min_value=100_000, **critical),
    ]


#: The same conditions, as somebody who knows them would write them.
ONE_QUERY = r"""
SELECT count(*),
    (SELECT count(*) FROM (SELECT flight_id FROM rows GROUP BY flight_id HAVING count(*) > 1)),
    count(*) FILTER (WHERE flight_id IS NULL),
    count(*) FILTER (WHERE carrier IS NULL),
    count(*) FILTER (WHERE origin NOT IN ('EWR', 'JFK', 'LGA')),
    count(*) FILTER (WHERE NOT regexp_matches(carrier, '^[A-Z0-9]{2}$')),
    count(*) FILTER (WHERE NOT regexp_matches(dest, '^[A-Z]{3}$')),
    count(*) FILTER (WHERE NOT distance BETWEEN 50 AND 6000),
    count(*) FILTER (WHERE NOT hour BETWEEN 0 AND 23),
    count(*) FILTER (WHERE NOT air_time BETWEEN 10 AND 1200),
    count(*) FILTER (WHERE NOT dep_delay BETWEEN -90 AND 2880),
    count(*) FILTER (WHERE arrived_at <= departed_at),
    avg(arr_delay), max(arr_delay),
    count(*) FILTER (WHERE NOT length(tailnum) BETWEEN 3 AND 7)
FROM rows
"""


def flights(times: int, path: Path) -> int:
    """Write a year of flights `times` over, each copy with keys of its own; return the number of rows."""
    import pyarrow.compute as pc

    from perennial import discovery, lake
    from use_cases.flights import source

    use_case = discovery.load("flights")
    first, last = use_case.partition("2013-01"), use_case.partition("2013-12")
    year = lake.canonical(pa.concat_tables([source.flights(month) for month in first.through(last)]))
    place = year.column_names.index("flight_id")
    rows = 0
    with pq.ParquetWriter(path, year.schema) as writer:
        for copy in range(times):
            ids = pc.binary_join_element_wise(year["flight_id"], str(copy), "/")
            writer.write_table(year.set_column(place, "flight_id", ids))
            rows += year.num_rows
    return rows


def run(way: str, path: Path) -> None:
    """Validate in one way, in this process, and print what it took."""
    rows = pq.read_table(path).combine_chunks()
    work = {"perennial": _perennial, "duckdb": _duckdb, "stock": _stock}[way](rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = []
    for _ in range(1 if way == "stock" else 3):
        clock, cpu = time.perf_counter(), time.process_time()
        work()
        took.append((time.perf_counter() - clock, time.process_time() - cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": min(took)[0], "cpu": min(cpu for _, cpu in took), "more_mb": peak - before}))


def _perennial(rows: pa.Table) -> Callable[[], object]:
    from perennial import validation

    expectations = suite()
    validation.validate(rows.slice(0, 1000), expectations, "warm-up")
    return lambda: validation.validate(rows, expectations, "benchmark")


def _stock(rows: pa.Table) -> Callable[[], object]:
    from perennial.validation import pandas_fallback

    expectations = list(enumerate(suite()))
    pandas_fallback.evaluate(rows.slice(0, 1000), expectations, set())
    return lambda: pandas_fallback.evaluate(rows, expectations, set())


def _duckdb(rows: pa.Table) -> Callable[[], object]:
    import duckdb

    def work() -> object:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("rows", rows)
            return connection.execute(ONE_QUERY).fetchall()

    return work


def main(sizes: list[int]) -> None:
    print("| rows | way | s | CPU, s | ratio of CPU | more memory, MB |\n|---|---|---|---|---|---|")
    met = True
    for times in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flights.parquet"
            rows = flights(times, path)
            took = {}
            for way in WAYS:
                command = [sys.executable, __file__, "run", way, str(path)]
                took[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for way, each in took.items():
                ratio = each["cpu"] / took["duckdb"]["cpu"]
                print(
                    f"| {rows:,} | {way} | {each['seconds']:.2f} | {each['cpu']:.2f} | {ratio:.2f}"
                    f" | {each['more_mb']:.0f} |",
                    flush=True,
                )
            met = took["perennial"]["cpu"] <= LIMIT * took["duckdb"]["cpu"]
    print(f"\nTarget: at most {LIMIT:.0f} times one DuckDB pass at the largest size: {'met' if met else 'missed'}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2], Path(sys.argv[3]))
    else:
        main([int(size) for size in sys.argv[1:]] or [1, 10])
