"""What live requests tell about a challenger: both versions' predictions of the same requests, and how many failed.

Whoever answered a request, the other version predicted it in shadow; so a pair is made of an answer and the prediction
that accompanied it, in every stage alike. The label comes from the lake's examples, by the example's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import polars as pl

from perennial import lake
from perennial.evaluation import thresholds
from perennial.lake import labels, prediction_columns
from perennial.registry import ledger
from perennial.registry.rollouts import RolloutState
from perennial.served_predictions.table import data_column
from perennial.use_case import UseCase

#: How the rows of `served_predictions` that count were served: in shadow, or as the answer of either version.
SHADOW, CANARY, CHAMPION = "shadow", "canary", "champion"
#: Columns of `served_predictions` that are read; the key and `evaluated_columns` come in addition.
_COLUMNS = (
    *("prediction_id", "shadow_of", "served_as", "model_version", "error"),
    *("event_timestamp", "answered_at"),
)
_PAIR = ("label", "event_timestamp", "challenger", "champion")


@dataclass(frozen=True)
class LiveEvidence:
    """What is known of a rollout.

    Attributes:
        pairs: A row for each example whose label is known: `label`, `event_timestamp` (of the request), both versions'
            predictions as `challenger` and `champion`, and `evaluated_columns`. Of an example that was asked
            about several times it is the last request before the label became known.
        unlabelled: Requests that both predicted and that are not among the pairs.
        predicted: The challenger's predictions in this stage that count for it: in a canary stage those it answered.
        tried: All predictions of the challenger in this stage, also those that failed.
        errors: How many of them failed.
        thresholds: From which probability on the challenger acts, and the champion, as the gate recorded it.
    """

    pairs: pd.DataFrame
    unlabelled: int = 0
    predicted: int = 0
    tried: int = 0
    errors: int = 0
    thresholds: tuple[float | None, float | None] = (None, None)


def no_pairs(use_case: UseCase) -> pd.DataFrame:
    """The pairs of a rollout of which nothing is known yet.

    Args:
        use_case: It says which columns there are.
    """
    empty = pd.DataFrame(columns=list(dict.fromkeys((*_PAIR, *use_case.evaluated_columns))), dtype=float)
    return empty.assign(event_timestamp=pd.Series(dtype="datetime64[us, UTC]"))


def read(use_case: UseCase, state: RolloutState) -> LiveEvidence:
    """What the lake holds about a rollout by now.

    Args:
        use_case: Whose requests and examples.
        state: The rollout.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    served = _served(use_case, state)
    if served is None:
        return LiveEvidence(no_pairs(use_case))
    mine = served.filter((pl.col("model_version") == state.version) & (pl.col("answered_at") >= state.since))
    counted = mine.filter(pl.col("error").is_null())
    if state.stage.share:
        counted = counted.filter(pl.col("served_as") == CANARY)
    both = _predicted_by_both(served, state)
    pairs, entries = _labelled(use_case, both), ledger.entries(use_case)
    return LiveEvidence(
        pairs=pairs,
        unlabelled=both.height - len(pairs),
        predicted=counted.height,
        tried=mine.height,
        errors=mine.height - mine["error"].null_count(),
        thresholds=(
            thresholds.recorded(use_case, entries, state.version),
            thresholds.recorded(use_case, entries, state.champion),
        ),
    )


def _served(use_case: UseCase, state: RolloutState) -> pl.DataFrame | None:
    """The rows of both versions since the rollout began; None: there are none."""
    table = lake.table(use_case.tables.served_predictions)
    if table is None:
        return None
    # The columns of the key and those of the evaluation, by the names that the table has for them.
    named = {data_column(name): name for name in (*use_case.examples.key, *use_case.evaluated_columns)}
    there = [
        name
        for name in dict.fromkeys((*_COLUMNS, *prediction_columns.names(use_case), *named))
        if name in table.schema().column_names
    ]
    rows = lake.read(
        use_case.tables.served_predictions, columns=there, where=lake.not_before("answered_at", state.began)
    )
    if rows is None or not rows.num_rows:
        return None
    served = prediction_columns.gathered(use_case, pl.DataFrame(rows)).filter(
        pl.col("model_version").is_in([state.version, state.champion])
        & pl.col("served_as").is_in([SHADOW, CANARY, CHAMPION])
    )
    # Of a key's column that is absent no row has had a value yet; other columns may be those of examples.
    key = [pl.lit(None).alias(name) for name in map(data_column, use_case.examples.key) if name not in there]
    served = served.with_columns(key)
    return served.rename({column: name for column, name in named.items() if column in served.columns})


def _predicted_by_both(served: pl.DataFrame, state: RolloutState) -> pl.DataFrame:
    """An answer a row, with the columns `challenger` and `champion` for both versions' predictions of it."""
    good = served.filter(pl.col("error").is_null())
    shadows = good.filter(pl.col("shadow_of").is_not_null()).select("shadow_of", "model_version", "prediction")
    joined = good.filter(pl.col("shadow_of").is_null()).join(
        shadows, left_on="prediction_id", right_on="shadow_of", suffix="_shadow"
    )
    by_challenger = pl.col("model_version") == state.version
    return joined.filter(pl.col("model_version") != pl.col("model_version_shadow")).with_columns(
        challenger=pl.when(by_challenger).then("prediction").otherwise("prediction_shadow"),
        champion=pl.when(by_challenger).then("prediction_shadow").otherwise("prediction"),
    )


def _labelled(use_case: UseCase, both: pl.DataFrame) -> pd.DataFrame:
    """Those whose label is known; of each example the last request before it was."""
    key = list(use_case.examples.key)
    columns = [*_PAIR, *use_case.evaluated_columns]
    asked = both.drop_nulls(key)
    absent = [name for name in use_case.evaluated_columns if name not in both.columns]
    since: datetime = asked["event_timestamp"].min()  # type: ignore[assignment]
    truth = _labels(use_case, key, since, absent) if asked.height else None
    if truth is None:
        return no_pairs(use_case)
    known = (
        asked.join(truth, on=key, validate="m:1")
        .filter(pl.col("event_timestamp") <= pl.col("label_timestamp"))
        .sort("event_timestamp", "answered_at", "prediction_id")
        .unique(key, keep="last", maintain_order=True)
    )
    # A slice of which nothing is known has no value; what a decision is worth must not be computed from that.
    known = known.with_columns(pl.lit(None).alias(name) for name in use_case.gate.slices if name not in known.columns)
    return known.select([name for name in dict.fromkeys(columns) if name in known.columns]).to_pandas()


def _labels(use_case: UseCase, key: Sequence[str], since: datetime, absent: Sequence[str]) -> pl.DataFrame | None:
    """The known labels of examples that matured at `since` or later; None: no examples were computed.

    With them the columns that no request has, and examples have.
    """
    table = lake.table(use_case.tables.examples)
    stored = table.schema().column_names if table is not None else []
    columns = [*key, "label", "label_timestamp", *(name for name in absent if name in stored)]
    known = lake.read(use_case.tables.examples, columns=columns, where=lake.not_before("label_timestamp", since))
    return None if known is None else pl.DataFrame(known.filter(labels.are_known(known["label"])))
