"""Predicts examples before their moment, once for each lead, with the champion and the features known by then."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import PerennialError
from perennial.evaluation import recorded_intervals
from perennial.feature_store import columns, repository
from perennial.ingestion import known_ahead
from perennial.lake import prediction_columns
from perennial.registry import ledger, model_loading
from perennial.registry.ledger import Entry
from perennial.served_predictions import table
from perennial.services import postgres
from perennial.use_case import Ahead, UseCase
from perennial.use_case.interval import SERVED

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)
_IDS = UUID("6f6a36d2-1f9e-5ad8-9d5c-0d3b1a6f4f10")
#: Why a feature is missing: nothing was known of it, or nothing that is not too old.
NOT_KNOWN = "not-known"


def _now() -> datetime:
    return datetime.now(UTC)


def predict_ahead(use_case: UseCase, clock: Callable[[], datetime] = _now) -> dict[str, int | None]:
    """Predict each example whose lead has come and whose moment has not, and append that to `served_predictions`.

    Features are those known now, whose ages count to now. An example is predicted once for each lead, and again when
    what is known of it has changed; where several leads have come, for the last of them. Run twice, by two at once, or
    killed and run again, it appends each prediction once. A prediction that is made too late, at the example's moment
    or after it, is not one and is left out.

    Args:
        use_case: A use case with `examples.ahead`.
        clock: Says what time it is, UTC; for tests.

    Returns:
        The champion's version (None: there is none yet) and the number of predictions made.

    Raises:
        BadBatch: see `known_ahead.examples_to_come`.
        BadFeatures: see `known_ahead.examples_to_come`.
        ServiceUnavailable: the lake, the registry of features or MLflow does not answer.
    """
    champion = ledger.champion(use_case)
    if champion is None:
        log.info("%s: no champion yet, nothing is predicted ahead", use_case.name)
        return {"model_version": None, "predictions": 0}
    # Whoever comes second waits, and then sees what the first one has predicted.
    with postgres.advisory_lock("ahead", use_case.name):
        now = clock()
        due = _without_predicted(use_case, due_examples(use_case, now), now)
        added = _append(use_case, due, predicted(use_case, champion, due, now), clock()) if due.num_rows else 0
    log.info("%s: v%d predicted %d examples ahead", use_case.name, champion.model_version, added)
    return {"model_version": champion.model_version, "predictions": added}


def due_examples(use_case: UseCase, now: datetime) -> pa.Table:
    """The examples that are to be predicted at a moment, whether they have been or not.

    Args:
        use_case: A use case with `examples.ahead`.
        now: The moment, UTC.

    Returns:
        Examples without their label, and the `prediction_id` that the prediction of each has.

    Raises:
        BadBatch: see `known_ahead.examples_to_come`.
        BadFeatures: see `known_ahead.examples_to_come`.
    """
    declared = _declared(use_case)
    examples = known_ahead.examples_to_come(use_case, now)
    leads = [declared.lead_due(moment - now) for moment in examples["event_timestamp"].to_pylist()]
    examples = examples.filter(pa.array([lead is not None for lead in leads], pa.bool_()))
    come = [lead for lead in leads if lead is not None]
    ids = [_prediction_id(use_case, row, lead) for row, lead in zip(examples.to_pylist(), come, strict=True)]
    return examples.append_column("prediction_id", pa.array(ids, pa.string()))


def predicted(use_case: UseCase, champion: Entry, due: pa.Table, now: datetime) -> pa.Table:
    """Predict examples from the features that are known at a moment; nothing is written.

    Args:
        use_case: The use case.
        champion: The entry of the ledger by which the version serves that predicts.
        due: n examples, as `due_examples` gives them.
        now: The moment, UTC.

    Returns:
        n rows of `served_predictions`, in their order, without `answered_at`.

    Raises:
        BadFeatures: the feature service is gone.
        ServiceUnavailable: MLflow does not answer.
    """
    position = due.column_names.index("event_timestamp")
    moments = pa.array([now] * due.num_rows, due.schema.field("event_timestamp").type)
    asked = due.drop_columns(["prediction_id"]).set_column(position, "event_timestamp", moments)
    rows = repository.historical_features(use_case.feature_service, asked)
    predict, frame = model_loading.load(use_case, champion.model_version), rows.to_pandas()
    prediction = predict(frame)
    return pa.table(
        {
            **{table.data_column(name): rows[name] for name in rows.column_names},
            "prediction_id": due["prediction_id"],
            **prediction_columns.written(use_case, prediction),
            **_bounds(use_case, champion, now, predict, frame, prediction),
            "model_version": pa.array([champion.model_version] * due.num_rows, pa.int64()),
            "model_run": [champion.model_run] * due.num_rows,
            "served_as": [table.MADE_AHEAD] * due.num_rows,
            "missing": pa.array(_missing(use_case, rows), pa.string()),
        }
    )


def _bounds(
    use_case: UseCase,
    champion: Entry,
    now: datetime,
    predict: model_loading.Predictor,
    frame: pd.DataFrame,
    prediction: np.ndarray,
) -> dict[str, pa.Array]:
    """The columns of the prediction intervals, by the margin that is known at a moment; none without one."""
    partition = use_case.cadence.at(now).key
    made = recorded_intervals.columns_of(use_case, champion.model_version, partition, predict, frame, prediction)
    return {SERVED[name]: column for name, column in (made or {}).items()}


def _append(use_case: UseCase, due: pa.Table, made: pa.Table, answered_at: datetime) -> int:
    """Append the predictions that were made before their example's moment; return how many there were."""
    times = pa.array([answered_at] * made.num_rows, pa.timestamp("us", tz="UTC"))
    in_time = pc.greater(due["event_timestamp"], pa.scalar(answered_at))
    made = made.append_column("answered_at", times).filter(in_time)
    return table.append(use_case, made).num_rows if made.num_rows else 0


def _declared(use_case: UseCase) -> Ahead:
    declared = use_case.examples.ahead
    if declared is None:
        raise PerennialError(
            f"Use case {use_case.name!r} does not say how far ahead its examples are known.",
            f"Declare examples.ahead in include/use_cases/{use_case.name}/use_case.py.",
        )
    return declared


def _prediction_id(use_case: UseCase, example: dict[str, Any], lead: timedelta) -> str:
    """The same for the same facts about an example and the same lead, whenever it is predicted."""
    facts = json.dumps([use_case.name, lead.total_seconds(), example], sort_keys=True, default=str)
    return str(uuid5(_IDS, facts))


def _without_predicted(use_case: UseCase, due: pa.Table, now: datetime) -> pa.Table:
    """Those that have no prediction of their id yet; one is at most the longest lead old."""
    since = use_case.cadence.at(now - _declared(use_case).leads[0])
    between = (since.key, use_case.cadence.at(now).key)
    made = lake.records(use_case.tables.served_predictions, between=between, columns=("prediction_id",))
    known = pa.array([row["prediction_id"] for row in made], pa.string())
    return due.filter(pc.invert(pc.is_in(due["prediction_id"], known)))


def view_features(use_case: UseCase, rows: pa.Table) -> dict[str, list[str]]:
    """The features in retrieved rows by view; a view by the column that says when its values became known.

    Args:
        use_case: Whose feature service.
        rows: What a retrieval gave.
    """
    views = {}
    for name, view in repository.feature_views(use_case.feature_service).items():
        times = columns.event_timestamp_column(view.projection.name_alias or name)
        if times in rows.column_names:
            views[times] = [each.name for each in view.features if each.name in rows.column_names]
    return views


def _missing(use_case: UseCase, rows: pa.Table) -> list[str | None]:
    """For each row, as JSON, the features of which nothing was known that is not older than their view's `ttl`."""
    missing: list[dict[str, str]] = [{} for _ in range(rows.num_rows)]
    for times, names in view_features(use_case, rows).items():
        for number in pc.indices_nonzero(pc.is_null(rows[times])).to_pylist():
            missing[number] |= dict.fromkeys(names, NOT_KNOWN)
    return [json.dumps(each, sort_keys=True) if each else None for each in missing]
