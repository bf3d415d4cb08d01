"""The page of a partition: its data, features, predictions, metrics, verdicts, drift, and the actions that followed.

All of it is read from the lake's records, but for the runs, which are Airflow's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from perennial import lake, lake_cache
from perennial.pages import airflow_state, partition_data, partition_monitoring
from perennial.pages.access import PartitionDep, UseCaseDep
from perennial.pages.airflow_state import AirflowRun
from perennial.pages.layout import page
from perennial.partitions import Partition
from perennial.quarantine import states
from perennial.registry import ledger
from perennial.registry.deployments import NOTHING
from perennial.reporting import partition_status
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from pyarrow import Table

router = APIRouter()

Rows = list[dict[str, Any]]
Records = Mapping[str, Rows]

_WHOLE = ("batches", "computations", "parity", "metrics", "drift", "verdicts", "requests", "ledger")
#: Of tables whose rows are long only the columns that the page needs.
_PARTS: dict[str, tuple[str, ...]] = {
    "validations": ("partition", "table", "validation", "success", "rows", "suite", "code_version", "recorded_at"),
    **{name: columns for name, columns in states.COLUMNS.items() if name not in _WHOLE},
}
#: How a prediction came to be, which lakes from before that was recorded do not have.
_SERVED_AS = "served_as"
#: What the predictions of one version, made by one state of code and lake, have in common.
_PROVENANCE = ("model_version", "model_run", "code_version", "lake_snapshots")


@router.get("/use_cases/{use_case}/partitions/{partition}")
def show(request: Request, use_case: UseCaseDep, partition: PartitionDep) -> HTMLResponse:
    """Everything that is recorded of a partition.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        use_case: Whose.
        partition: Which.
    """
    rows = records(use_case)
    scored = predictions(use_case, partition)
    runs = airflow_state.runs(use_case.name, partition.key)
    return page(request, "partition", **view(use_case, partition, rows, scored, runs))


def records(use_case: UseCase) -> dict[str, Rows]:
    """The use case's records by table: of all partitions, because what followed one is recorded with others.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    names = {name: use_case.tables[name] for name in (*_WHOLE, *_PARTS)}
    rows = lake_cache.records(list(names.values()), {names[name]: columns for name, columns in _PARTS.items()})
    return {name: rows[table] for name, table in names.items()}


def predictions(use_case: UseCase, partition: Partition) -> Rows:
    """What scored the partition, most rows first; reads only the columns that it needs.

    Each has `model_version`, `model_run`, `code_version`, `lake_snapshots` (JSON), `served_as` (null: not recorded yet
    by the release that scored), `lead` (the declared one that had come when it was made ahead; null: made otherwise, or
    before any that is declared now), `rows`, and the `first` and `last` time of prediction (processing time).

    Args:
        use_case: Whose.
        partition: Which.
    """
    stored = lake.table(use_case.tables.predictions)
    if stored is None:
        return []
    known = [_SERVED_AS] if _SERVED_AS in stored.schema().column_names else []
    wanted = (*_PROVENANCE, *known, "event_timestamp", "predicted_at")
    predicted = lake.read(use_case.tables.predictions, partitions=[partition.key], columns=wanted)
    if predicted is None or not predicted.num_rows:
        return []
    grouped = (
        _with_origin(use_case, predicted)
        .group_by([*_PROVENANCE, _SERVED_AS, "lead"])
        .aggregate([([], "count_all"), ("predicted_at", "min"), ("predicted_at", "max")])
    )
    names = {"count_all": "rows", "predicted_at_min": "first", "predicted_at_max": "last"}
    rows = [{names.get(name, name): value for name, value in row.items()} for row in grouped.to_pylist()]
    return sorted(rows, key=lambda row: -row["rows"])


def _with_origin(use_case: UseCase, predicted: Table) -> Table:
    """Predictions with `served_as`, null where a lake does not have it, and the `lead` that they were made by."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from perennial.served_predictions.table import MADE_AHEAD

    if _SERVED_AS not in predicted.column_names:
        predicted = predicted.append_column(_SERVED_AS, pa.nulls(predicted.num_rows, pa.string()))
    leads = use_case.examples.ahead.leads if use_case.examples.ahead else ()
    remaining = pc.subtract(predicted["event_timestamp"], predicted["predicted_at"])
    due: Any = pa.nulls(predicted.num_rows, pa.duration("us"))
    for lead in leads:  # The longest first: a shorter one that has come too replaces it.
        limit = pa.scalar(lead, pa.duration("us"))
        due = pc.if_else(pc.less_equal(remaining, limit), limit, due)
    is_ahead = pc.fill_null(pc.equal(predicted[_SERVED_AS], MADE_AHEAD), False)
    return predicted.append_column("lead", pc.if_else(is_ahead, due, pa.scalar(None, pa.duration("us"))))


def view(
    use_case: UseCase, partition: Partition, recorded: Records, made: Rows, runs: Sequence[AirflowRun] = ()
) -> dict[str, Any]:
    """What the page shows.

    Args:
        use_case: Whose.
        partition: Which.
        recorded: All records of the use case by table, as `records` gives them.
        made: What scored the partition, as `predictions` gives it.
        runs: Airflow's runs on it, newest first.
    """
    own = {name: [row for row in rows if row["partition"] == partition.key] for name, rows in recorded.items()}
    entries = ledger.from_rows(recorded["ledger"])
    verdicts = partition_monitoring.verdicts(own["verdicts"])
    revisions = partition_monitoring.revisions(use_case, own["metrics"], entries, own["verdicts"])
    return {
        "use_case": use_case,
        "partition": partition,
        **_neighbours(use_case, partition, recorded),
        "is_known": any(rows for name, rows in own.items() if name != "ledger") or bool(made),
        "verdicts": verdicts,
        "batches": partition_data.batches(use_case, own),
        # The same numbers as on the use case's page and by `perennial status`.
        "status": partition_status.of_partition(use_case, partition.key, recorded),
        "refused": len(own["quarantine"]) + len(own["refused_batches"]),
        "features": partition_data.features(use_case, own),
        "parity": partition_data.parity(own["parity"]),
        "predictions": partition_data.scored(made),
        "scored_by": partition_data.scored_by(made),
        "made": partition_data.how_made(made),
        "deployment": partition_monitoring.deployment(entries, partition.start),
        "revisions": revisions,
        "drift": partition_monitoring.drift(use_case, own["drift"], verdicts[0] if verdicts else None),
        "reports": [each for each in verdicts if each["run"]],
        "requests": partition_monitoring.requests(use_case, partition.key, recorded["requests"], entries),
        "held_back_by": partition_monitoring.held_back_by(use_case, partition, verdicts, recorded["requests"]),
        "decisions": [entry for entry in entries if entry.partition == partition.key],
        "runs": runs,
        "durations": [_duration(run) for run in runs],
    }


def _neighbours(use_case: UseCase, partition: Partition, recorded: Records) -> dict[str, Partition | None]:
    """The partition before, and the one after if anything is known from there on."""
    before = partition.previous if partition > use_case.first else None
    newest = max((row["partition"] for name in ("batches", "verdicts") for row in recorded[name]), default="")
    # Names of partitions sort like their starts.
    return {"previous": before, "next": partition.next if partition.key < newest else None}


def _duration(run: AirflowRun) -> str:
    """How long a run took, in its two largest units."""
    if run.started is None or run.ended is None:
        return NOTHING
    seconds = round((run.ended - run.started).total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    return (
        f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
    )
