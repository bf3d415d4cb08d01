"""A fleet as it is after three years: use cases, their records in a lake of their own, and their runs in Airflow.

The first use case's records are written by the lake's own functions, a commit a partition and more where labels mature.
The other use cases get copies of its tables: the same commits, manifests and files, each with paths of its own.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

FIRST = "fleet00"
START, END, PARTITIONS = "2013-01", "2016-01", 36
TABLES = ("flights", "weather", "planes")
VIEWS = ("origin_weather", "carrier_lateness", "origin_lateness", "origin_departures", "route_lateness", "plane_facts")
METRICS = ("roc_auc", "average_precision", "brier", "log_loss", "calibration_error")
COLUMNS = [f"feature_{number:02}" for number in range(31)] + ["prediction"]
_NOW = datetime(2023, 1, 1, tzinfo=UTC)
#: What Airflow's table of DAGs insists on.
_REQUIRED = {
    "max_active_tasks": 4,
    "max_consecutive_failed_dag_runs": 0,
    "has_task_concurrency_limits": False,
    "timetable_type": "",
    "timetable_partitioned": False,
    "timetable_periodic": False,
}
_USE_CASE = """from use_cases.flights.use_case import use_case as flights

use_case = flights.model_copy(update={{"name": {name!r}, "title": {title!r}, "start": {start!r}, "end": {end!r}}})
"""


def names(count: int) -> list[str]:
    """The names of so many use cases."""
    return [f"fleet{number:02}" for number in range(count)]


def declare(folder: Path, count: int) -> None:
    """So many use cases as folders below `folder`/use_cases."""
    for number, name in enumerate(names(count)):
        home = folder / "use_cases" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "use_case.py").write_text(_USE_CASE.format(name=name, title=f"Problem {number}", start=START, end=END))


def write_records() -> int:
    """All records of the first use case, by the lake's own functions; how many commits that were."""
    from perennial import lake
    from perennial.lake import schemas
    from perennial.partitions import Cadence
    from perennial.use_case.table_names import TableNames

    tables, chance = TableNames(FIRST), random.Random(1)  # noqa: S311 - no secret
    first = Cadence.MONTHLY.partition(START)
    version, commits, wait = 0, 0, _NOW
    for number in range(PARTITIONS):
        partition, first = first, first.next
        wait += timedelta(days=30)
        for table, rows in _of_partition(partition, number, version, wait, chance):
            schema = getattr(schemas, table.upper())
            content = pa.Table.from_pylist([{"partition": partition.key, **row} for row in rows], schema=schema)
            if table in ("batches", "computations"):
                lake.replace(tables[table], partition.key, content)
            else:
                lake.append_missing(tables[table], content, key=[*schema.names[1:]])
            commits += 1
            version += table == "ledger" and rows[0]["action"] == "promoted"
    return commits


def _of_partition(
    partition: Any, number: int, version: int, at: datetime, chance: random.Random
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What the pipelines record of one partition, a commit at a time."""
    code, stamp = "b43f06b86023fb7d9fd42fa57de48c466974982f", {"recorded_at": at}
    refused = chance.randrange(40)
    refusal = f"{number:016x}"
    result = json.dumps({"success": True, "results": [{"expectation_config": {"type": "expect"}}] * 120})
    judged = {"validation": "v" * 16, "success": True, "rows": 28_000, "suite": "s" * 12, "result": result}
    if refused > 20:
        row = {"table": "flights", "refusal": refusal, "content": "c" * 64, "row": "{}" * 50, "reasons": "r" * 60}
        yield (
            "quarantine",
            [
                row | stamp | {"row_id": f"{number}-{each}", "position": each, "suite": "s", "code_version": code}
                for each in range(refused)
            ],
        )
    yield "validations", [judged | {"table": table, "code_version": code} | stamp for table in TABLES]
    batch = {"quarantined": 0, "released": 0, "suite": "s" * 12, "code_version": code}
    yield (
        "batches",
        [
            batch
            | {"table": table, "rows": 28_000}
            | ({"refusal": refusal, "quarantined": refused} if table == "flights" else {})
            for table in TABLES
        ],
    )
    yield "validations", [judged | {"table": table, "code_version": code} | stamp for table in (*VIEWS, "examples")]
    yield "computations", [{"table": table, "rows": 9_000, "transform": "t" * 16} for table in (*VIEWS, "examples")]
    views = {"keys": 100, "differences": 0, "until": partition.end, "newest": partition.end - timedelta(hours=1)}
    yield "parity", [views | {"view": f"flights_{name}", "stale": False, "evidence": "[]"} | stamp for name in VIEWS]
    if version:
        revisions = 1 + (number % 3 == 0)  # Labels that mature later give a partition a second verdict.
        for revision in range(revisions):
            seen = stamp | {"recorded_at": at + timedelta(hours=revision)}
            counts = {"rows": 28_000, "labelled": 27_000 + revision}
            yield (
                "metrics",
                [
                    counts
                    | {"model_version": of, "role": role, "metric": metric, "value": chance.uniform(0.6, 0.8)}
                    | seen
                    for role, of in (("champion", version), ("first", 1))
                    for metric in METRICS
                ],
            )
            yield (
                "drift",
                [
                    {
                        "model_version": version,
                        "column": column,
                        "method": "wasserstein",
                        "distance": 0.1,
                        "rows": 28_000,
                    }
                    | {"reference": 0.1, "ratio": 1.0, "importance": 0.03, "drifted": False, "why": "values"}
                    | {"told": "it moved by this much" * 3}
                    | seen
                    for column in COLUMNS
                ],
            )
            yield (
                "verdicts",
                [
                    {
                        "model_version": version,
                        "verdict": chance.choice(("healthy", "warning", "alarm")),
                        "reason": "drift",
                    }
                    | {"drift_score": 0.2, "drifted_columns": 3, "label_coverage": 0.97, "labels": 27_000 + revision}
                    | {"explanation": "e" * 200, "evidence": json.dumps({"columns": COLUMNS, "numbers": [0.5] * 60})}
                    | {"report": "http://127.0.0.1:5500/#/experiments/3/runs/" + "r" * 32}
                    | seen
                ],
            )
    if number % 3 == 1:
        yield (
            "requests",
            [{"request_id": f"{partition}:drift", "reason": "drift", "evidence": "{}", "made_by": "run"} | stamp],
        )
        metrics = {who: dict.fromkeys(METRICS, 0.7) for who in ("challenger", "rival")}
        rules = [{"name": "rule", "note": "give or take", "passed": True, "threshold": 0.1, "value": 0.2}] * 10
        entry = {"event_id": f"gate:{version + 1}", "action": "promoted", "model_version": version + 1}
        entry |= {"previous_version": version or None, "model_run": "m" * 32, "effective_from": partition.end}
        entry |= {"actor": "gate", "reason": "better " * 12}
        evidence = json.dumps({"metrics": metrics, "rules": rules, "outcome": "promote"})
        yield "ledger", [entry | {"evidence": evidence} | stamp]


def commit_once() -> None:
    """One more verdict on the first use case's last partition: a single commit, of which its pages tell."""
    from perennial import lake
    from perennial.lake import schemas
    from perennial.use_case.table_names import TableNames

    table = TableNames(FIRST).verdicts
    latest = max(lake.records(table), key=lambda row: row["recorded_at"])
    row = latest | {"labels": latest["labels"] + 1, "recorded_at": latest["recorded_at"] + timedelta(minutes=1)}
    content = pa.Table.from_pylist([row], schema=schemas.VERDICTS)
    lake.append_missing(table, content, key=("model_version", "label_coverage", "labels"))


def copy_records(names: Iterable[str]) -> None:
    """Give each of these use cases copies of the first one's tables, with paths of their own."""
    from sqlalchemy import text

    from perennial.services import postgres
    from perennial.settings import settings

    lake = Path(settings().warehouse)
    with postgres.engine("lake").begin() as connection:
        tables = connection.execute(
            text("SELECT table_name, metadata_location FROM iceberg_tables WHERE table_namespace = :first"),
            {"first": FIRST},
        ).all()
        for name in names:
            shutil.copytree(lake / FIRST, lake / name, ignore=shutil.ignore_patterns("*.json", "*.avro"))
            for table, location in tables:
                kept = Path(location.removeprefix("file://"))
                for file in kept.parent.iterdir():
                    if file.suffix == ".avro" or file == kept:
                        _readdress(file, lake / name / table / "metadata" / file.name, name)
                connection.execute(
                    text("INSERT INTO iceberg_tables VALUES ('perennial', :space, :name, :location, NULL, 'TABLE')"),
                    {"space": name, "name": table, "location": location.replace(f"/{FIRST}/", f"/{name}/")},
                )


def _readdress(source: Path, target: Path, name: str) -> None:
    """A copy of a metadata file or a manifest whose paths lead to use case `name`."""
    import fastavro

    if source.suffix == ".json":
        target.write_text(source.read_text().replace(f"/{FIRST}/", f"/{name}/"))
        return
    with source.open("rb") as stream:
        reader = fastavro.reader(stream)
        rows = [_renamed(row, name) for row in reader]
        schema, about = reader.writer_schema, {k: v for k, v in reader.metadata.items() if not k.startswith("avro.")}
    with target.open("wb") as stream:
        fastavro.writer(stream, schema, rows, codec="deflate", metadata=about)


def _renamed(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, name) for key, item in value.items()}
    return value.replace(f"/{FIRST}/", f"/{name}/") if isinstance(value, str) else value


def write_runs(names: Iterable[str]) -> int:
    """Airflow's DAGs and runs of these use cases: four pipelines a partition, and their newest ones; how many runs."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType
    from sqlalchemy import insert

    from perennial.dag_names import ALL
    from perennial.partitions import Cadence

    partitions = list(Cadence.MONTHLY.partition(START).through(Cadence.MONTHLY.partition(END).previous))
    dags, runs = [], []
    for name in names:
        for pipeline in ALL:
            dag = f"{name}.{pipeline}"
            dags.append(
                {"dag_id": dag, "is_paused": False, "is_stale": False, "bundle_name": "dags-folder"} | _REQUIRED
            )
            runs += [
                {
                    "dag_id": dag,
                    "run_id": f"perennial__{partition.key}",
                    "run_type": DagRunType.MANUAL,
                    "state": "success",
                    "partition_key": partition.key,
                    "queued_at": _NOW,
                    "start_date": _NOW,
                    "end_date": _NOW,
                    "run_after": _NOW,
                    "span_status": "not_started",
                }
                for partition in partitions
            ]
    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.execute(insert(DagBundleModel).values(name="dags-folder", active=True))
        session.execute(insert(DagModel.__table__), dags)
        session.execute(insert(DagRun.__table__), runs)
    return len(runs)
