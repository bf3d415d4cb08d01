"""What all stores hold, in a form in which two scenarios can be compared: equal but for times and ids.

Not compared, because they are times or measured in time, are `TIMES`, `MEASURED` and `SECONDS`. Ids are not dropped but
renamed: a snapshot becomes "snapshot 3 of energy.examples", an MLflow run "run of energy.training/2024-01-03", an
address "(mlflow)"; so whatever names one of them must name the same one in both scenarios. What a killed attempt leaves
behind, and nothing ever reads, is counted apart (`leftovers`).
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import stored_files

from perennial import lake
from perennial.feature_store import repository
from perennial.feature_store.online.sqlite import NewestSqliteOnlineStore
from perennial.registry import mlflow_tags, tracking
from perennial.services import postgres
from perennial.settings import settings
from perennial.use_case import UseCase

#: Processing time, for people: never compared.
TIMES = {
    *("recorded_at", "predicted_at", "createdTimestamp", "lastUpdatedTimestamp"),
    *("paused_since", "pause_until"),
}
#: Seconds and milliseconds that something took.
MEASURED = re.compile(r"seconds|per_second|latency|duration|_ms\b")
#: The same in a sentence for people.
SECONDS = re.compile(r"\b\d+(\.\d+)? s\b")
_MASK = "(a time)"
Contents = dict[str, Any]


def contents(use_case: UseCase) -> Contents:
    """Every store's content by its name."""
    rename = _Renaming(use_case)
    everything = {
        **_lake(use_case),
        **_registry(use_case),
        **_feast(use_case),
        **_online(),
        "training sets": sorted(name for name in stored_files.training_sets(use_case) if name.endswith(".parquet")),
        "quarantined content": stored_files.quarantined(use_case),
        "locks held": _locks(),
    }
    plain = json.loads(json.dumps(everything, default=str, sort_keys=True))
    return {"contents": rename(plain), "leftovers": _leftovers(use_case), "processing times": _moments(use_case)}


class _Renaming:
    """Replaces ids, wherever they stand, by names that are the same in every scenario."""

    def __init__(self, use_case: UseCase) -> None:
        self._names: dict[str, str] = {}
        for table in _tables(use_case):
            for number, entry in enumerate(lake.catalog().load_table(table).history(), 1):
                self._names[str(entry.snapshot_id)] = f"(snapshot {number} of {table})"
        for run in _runs(use_case):
            self._names[run.info.run_id] = f"(run of {run.data.tags.get(mlflow_tags.MADE_BY)})"
        for experiment in tracking.client().search_experiments():
            for model in tracking.client().search_logged_models([experiment.experiment_id]):
                self._names[model.model_id] = f"(model of {self._names.get(model.source_run_id, 'nobody')})"
        places = {str(settings().home): "(home)", settings().mlflow_uri: "(mlflow)"}
        places[str(Path(sys.argv[0]).parents[1])] = "(code)"  # The worker's copy.
        self._names |= places
        patterns = sorted(map(re.escape, self._names), key=len, reverse=True)
        self._pattern = re.compile("|".join(patterns))

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self(key): _MASK if _is_time(key, value) else self(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self(each) for each in value]
        if isinstance(value, int) and str(value) in self._names:
            return self._names[str(value)]
        if isinstance(value, str):
            if value[:1] in "{[":
                try:
                    return self(json.loads(value))
                except ValueError:
                    pass
            return SECONDS.sub("(seconds)", self._pattern.sub(lambda found: self._names[found[0]], value))
        return value


def _is_time(key: str, parent: dict[str, Any]) -> bool:
    """Whether what stands under `key` is a time: by its own name, or as the number of a rule or metric so named."""
    if key in TIMES or MEASURED.search(key):
        return True
    return key == "value" and any(isinstance(word, str) and MEASURED.search(word) for word in parent.values())


def _tables(use_case: UseCase) -> list[str]:
    # How much CPU time runs took differs from time to time.
    names = sorted(".".join(name) for name in lake.catalog().list_tables(use_case.name))
    return [name for name in names if name != use_case.tables.run_costs]


def _lake(use_case: UseCase) -> Contents:
    """Each table's rows, and the commits that made them: a retry must not even make one more."""
    tables: Contents = {}
    for name in _tables(use_case):
        table = lake.catalog().load_table(name)
        rows = table.scan().to_arrow()
        tables[f"lake {name}: rows"] = sorted(
            (
                {key: _comparable(key, value) for key, value in row.items() if key not in TIMES}
                for row in rows.to_pylist()
            ),
            key=lambda row: json.dumps(_without_ids(row), default=str, sort_keys=True),
        )
        tables[f"lake {name}: columns"] = [[field.name, str(field.field_type)] for field in table.schema().fields]
        tables[f"lake {name}: partitioned by"] = str(table.spec())
        tables[f"lake {name}: commits"] = [
            [
                str(snapshot.summary.operation.value),
                snapshot.summary.get("added-records"),
                snapshot.summary.get("deleted-records"),
                snapshot.summary.get("total-records"),
            ]
            for snapshot in table.metadata.snapshots
            if snapshot.summary is not None
        ]
    return tables


def _comparable(column: str, value: Any) -> Any:
    """Digests of files differ from life to life, as the times and ids in these files do; their names do not."""
    return sorted(json.loads(value)) if column == "files" else value


def _moments(use_case: UseCase) -> list[str]:
    """Every processing time that the lake holds."""
    rows = (row for name in _tables(use_case) for row in lake.records(name))
    return sorted(str(value) for row in rows for key, value in row.items() if key in TIMES)


def _without_ids(row: dict[str, Any]) -> dict[str, Any]:
    """What rows are put in order by: ids differ from scenario to scenario, and so would the order."""
    return {
        key: value
        for key, value in row.items()
        if key not in ("lake_snapshots", "model_run", "model", "report", "evidence")
    }


def _runs(use_case: UseCase) -> list[Any]:
    server = tracking.client()
    experiments = [e for e in server.search_experiments() if e.name.startswith(f"{use_case.name}.")]
    return [run for e in experiments for run in server.search_runs([e.experiment_id], max_results=1000)]


def _registry(use_case: UseCase) -> Contents:
    """MLflow: versions with their aliases, runs with all that is logged in them."""
    server = tracking.client()
    names = {e.experiment_id: e.name for e in server.search_experiments()}
    records: Contents = {"mlflow experiments": sorted(names.values())}
    try:
        model = server.get_registered_model(use_case.name)
    except Exception:
        records["mlflow aliases"] = {}
    else:
        records["mlflow aliases"] = model.aliases
    records["mlflow versions"] = sorted(
        (
            {"version": int(v.version), "run": v.run_id, "status": v.status, "tags": dict(v.tags)}
            for v in server.search_model_versions(f"name='{use_case.name}'")
        ),
        key=lambda version: version["version"],
    )
    for run in _runs(use_case):
        tags = dict(run.data.tags)
        name = f"mlflow {names[run.info.experiment_id]} {tags.get(mlflow_tags.MADE_BY)}"
        metrics = {
            key: sorted({point.value for point in server.get_metric_history(run.info.run_id, key)})
            for key in run.data.metrics
        }
        records.setdefault(name, []).append(
            {
                "status": run.info.status,
                "name": run.info.run_name,
                "tags": {key: value for key, value in tags.items() if key != "mlflow.log-model.history"},
                "params": dict(run.data.params),
                "metrics": metrics,
                "inputs": [dataset.dataset.to_dictionary() for dataset in run.inputs.dataset_inputs],
                "artifacts": _artifacts(run.info.run_id),
                "models": [m.to_dict()["status"] if hasattr(m, "to_dict") else str(m.status) for m in _models(run)],
            }
        )
    return records


def _models(run: Any) -> list[Any]:
    """The models logged by a run that can be used; what a killed attempt began is a leftover."""
    logged = tracking.client().search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    return [model for model in logged if str(model.status) == "READY"]


def _artifacts(run_id: str, folder: str = "") -> dict[str, Any]:
    """Paths of a run's artifacts, with the content of those that are JSON."""
    import mlflow

    files: dict[str, Any] = {}
    for entry in tracking.client().list_artifacts(run_id, folder):
        if entry.is_dir:
            files |= _artifacts(run_id, entry.path)
        elif entry.path.endswith(".json"):
            files[entry.path] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{entry.path}")
        else:
            files[entry.path] = "(a file)"
    return files


def _feast(use_case: UseCase) -> Contents:
    """The Feast registry: every definition, and what is recorded of it, but when it was registered."""
    from google.protobuf.json_format import MessageToDict

    store = repository.open_store()
    registry, project = store.registry, store.project
    registry.refresh(project)
    kinds = {
        "entities": registry.list_entities(project),
        "views": registry.list_feature_views(project),
        "services": registry.list_feature_services(project),
        "sources": registry.list_data_sources(project),
        "projects": registry.list_projects(),
    }
    registered: Contents = {}
    for kind, objects in kinds.items():
        protos = [MessageToDict(each.to_proto()) for each in objects]
        registered[f"feast {kind}"] = sorted(
            protos, key=lambda proto: json.dumps(proto.get("spec", proto), sort_keys=True)
        )
    return registered


def _online() -> Contents:
    """Every row of the online store, as bytes."""
    path = Path(NewestSqliteOnlineStore.database_path(repository.open_store().config))
    if not path.exists():
        return {}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            f"online {name}": sorted(
                [value.hex() if isinstance(value, bytes) else value for value in row]
                for row in connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608
            )
            for name in tables
        }


def _locks() -> int:
    """Advisory locks and open transactions that somebody still holds."""
    from sqlalchemy import text

    with postgres.engine("lake").connect() as connection:
        locks = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
        idle = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname <> 'mlflow'"
            )
        ).scalar_one()
        return locks + idle


def _leftovers(use_case: UseCase) -> dict[str, int]:
    """What killed attempts left and nothing reads: it costs space only."""
    referenced: set[str] = set()
    for name in _tables(use_case):
        for path in lake.catalog().load_table(name).inspect.all_files()["file_path"].to_pylist():
            referenced.add(path.removeprefix("file://").removeprefix("s3://"))
    written = {path for path in stored_files.below(settings().warehouse) if path.endswith(".parquet")}
    unready: Counter[str] = Counter()
    for experiment in tracking.client().search_experiments():
        for model in tracking.client().search_logged_models([experiment.experiment_id]):
            unready[str(model.status)] += 1
    versions = len(tracking.client().search_model_versions(f"name='{use_case.name}'"))
    return {
        "lake data files": len(written - referenced),
        "parts of training sets": sum(name.endswith(".part") for name in stored_files.training_sets(use_case)),
        "logged models never registered": sum(unready.values()) - versions,
    }
