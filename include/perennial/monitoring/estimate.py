"""What a version's performance on a partition probably is before its labels are known.

An estimate is made once, at the first visit of a partition, and never from a label of that partition, also in a replay,
where all labels are there already. It stays in the evidence of every later verdict, beside the truth. How often the
truth was within the interval, and how far estimates were off, is their record. In a replay that record is longer than
it would have been in production, where the newest partitions before this one may still wait for their labels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from perennial import lake
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation import blocks, estimation
from perennial.evaluation.estimation import Holdout
from perennial.gate import challenger
from perennial.lake import labels, prediction_columns
from perennial.monitoring.verdict import EstimateEvidence, VerdictEvidence
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading, tracking
from perennial.served_predictions.table import COUNTING
from perennial.training.training_set import rows_to_judge
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

log = logging.getLogger(__name__)
#: So many earlier partitions are the record of the estimates, at most: what was long ago says little.
RECORD = 30
#: So many rows of a holdout, and of a partition, are used; of more, every n-th.
_HOLDOUT_ROWS, _PARTITION_ROWS = 20_000, 100_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """An estimate, or why there is none; neither where the policy wants none."""

    estimate: EstimateEvidence | None = None
    left_out: str = ""


def make(use_case: UseCase, partition: Partition, version: int) -> Made:
    """Estimate the gate's metric on a partition, or repeat what was estimated at its first visit.

    Args:
        use_case: Its policy says whether to.
        partition: A scored partition.
        version: The version that scored it.

    Raises:
        ServiceUnavailable: MLflow, which holds the model, does not answer.
    """
    if use_case.drift.estimate_record is None:
        return Made()
    # The newest partitions may still wait for their labels, for as long as they are looked at again.
    earlier = list(partition.preceding(RECORD + use_case.drift.revisits, use_case.first))
    between = (min((each.key for each in earlier), default=partition.key), partition.key)
    verdicts = lake.records(use_case.tables.verdicts, between=between)
    its = sorted((row for row in verdicts if row["partition"] == partition.key), key=itemgetter("recorded_at"))
    made = (_comparable(use_case, row) for row in its if row["model_version"] == version)
    if (first := next((each.estimate for each in made if each is not None), None)) is not None:
        return Made(first)
    try:
        return _estimate(use_case, partition, version, record(use_case, verdicts, partition.key))
    except ServiceUnavailable:
        raise
    except PerennialError as error:
        problem = error.problem
    except Exception as error:  # It is shown beside what is measured, which must not fail for it.
        problem = f"{type(error).__name__}: {error}"
    log.warning("%s %s: performance is not estimated: %s", use_case.name, partition, problem)
    return Made(left_out=problem)


def record(use_case: UseCase, verdicts: Iterable[Row], before: str) -> list[tuple[EstimateEvidence, float]]:
    """Estimate and truth of earlier partitions that have both, of the same predictions: the newest `RECORD`, in order.

    Args:
        use_case: Whose gate names the metric.
        verdicts: Rows of that table.
        before: Name of the partition that is estimated; it and later ones do not count.
    """
    newest = {row["partition"]: row for row in sorted(verdicts, key=itemgetter("partition", "recorded_at"))}
    known = (_comparable(use_case, row) for key, row in newest.items() if key < before)
    both = [
        (each.estimate, each.production)
        for each in known
        if each is not None
        and each.estimate is not None
        and each.production is not None
        and each.estimate.of_served == (each.judged == "served")
    ]
    return both[-RECORD:]


def _comparable(use_case: UseCase, row: Row) -> VerdictEvidence | None:
    """A verdict's evidence, if it has an estimate of the metric that the gate has now."""
    evidence = VerdictEvidence.from_json(row["evidence"])
    return evidence if evidence.estimate is not None and evidence.metric == use_case.gate.metric else None


def _estimate(
    use_case: UseCase, partition: Partition, version: int, known: list[tuple[EstimateEvidence, float]]
) -> Made:
    metric = use_case.gate.metric
    if metric not in (estimation.ESTIMATED_OF_CLASSES if use_case.task == MULTICLASS else estimation.ESTIMATED):
        return Made(left_out=f"{metric} cannot be estimated")
    holdout = _holdout(use_case, version)
    features, prediction, rows, of_served = _predictions(use_case, partition, version, list(holdout.features.columns))
    if rows < use_case.drift.min_rows:
        return Made(left_out=f"only {rows} predictions, {use_case.drift.min_rows} are needed")
    holdout = Holdout(holdout.features[list(features)], holdout.label, holdout.prediction, holdout.block)
    fitted = estimation.fit(use_case, holdout)
    if fitted is None or not 0 < fitted.part_error < math.inf:
        return Made(left_out="the holdout has too few blocks, or its labels do not vary")
    value, margin = fitted.estimate(features, prediction), fitted.margin(rows)
    if not math.isfinite(value):
        return Made(left_out=f"{metric} is not defined: all predictions are of one class by the holdout")
    errors = [(abs(truth - its.value), its) for its, truth in known]
    off = margin * estimation.conformal_factor([error / its.margin for error, its in errors])
    return Made(
        EstimateEvidence(
            value=value,
            low=value - off,
            high=value + off,
            margin=margin,
            rows=rows,
            of_served=of_served,
            partitions=len(errors),
            within=sum(error <= (its.high - its.low) / 2 for error, its in errors),
            mean_error=float(np.mean([error for error, _ in errors])) if errors else None,
        )
    )


def _holdout(use_case: UseCase, version: int) -> Holdout:
    """What the gate decided on, beside the predictions of the version that it evaluated: a refit has no holdout."""
    evaluated = ledger.evaluated_for(ledger.entries(use_case), version) or version
    whole = challenger.training_set(use_case, tracking.run_of(use_case, evaluated))
    held_out = rows_to_judge(whole.table, whole.holdout_start)
    data = held_out.take(np.arange(0, held_out.num_rows, _step(held_out.num_rows, _HOLDOUT_ROWS))).to_pandas()
    columns = model_loading.inputs(use_case, evaluated)
    prediction = model_loading.load(use_case, evaluated)(data)
    block = blocks.blocks_of(data["event_timestamp"], use_case.gate.block)
    return Holdout(data[columns].reset_index(drop=True), labels.encoded(use_case, data["label"]), prediction, block)


def _predictions(
    use_case: UseCase, partition: Partition, version: int, inputs: list[str]
) -> tuple[pd.DataFrame, np.ndarray, int, bool]:
    """What a version saw and predicted of a partition, thinned out, how many rows there are, and if they were served.

    Those that were served, where there are enough of them, as `performance.measure` does.
    """
    name = use_case.tables.predictions
    table = lake.table(name)
    stored = set(table.schema().column_names) if table is not None else set()
    how = ["served_as"] if "served_as" in stored else []
    where = lake.equals("model_version", version)
    made = [each for each in prediction_columns.names(use_case) if each in stored]
    ways = pl.DataFrame(lake.read(name, partitions=[partition.key], columns=[*made, *how], where=where))
    ways = prediction_columns.gathered(use_case, ways)
    served = int(ways["served_as"].is_in(COUNTING).sum()) if how else 0
    of_served = served >= use_case.drift.min_rows
    rows = served if of_served else ways.height
    # Of a regression also what the model saw; a batch at a time, because a partition may be large and wide.
    inputs = [each for each in inputs if each in stored] if use_case.task == "regression" else []
    columns, step, passed = list(dict.fromkeys(["prediction", *how, *inputs])), _step(rows, _PARTITION_ROWS), 0
    batches = map(pl.DataFrame, lake.iter_batches(name, partition=partition.key, columns=columns, where=where))
    kept: list[pl.DataFrame] = []
    for each in batches if inputs else [ways]:
        each = each.filter(pl.col("served_as").is_in(COUNTING).fill_null(False)) if of_served else each
        kept.append(each.gather_every(step, offset=-passed % step) if each.height else each)
        passed += each.height
    if not kept:
        return pd.DataFrame(columns=inputs), np.empty(0), 0, of_served
    thinned = pl.concat(kept)
    return thinned.select(inputs).to_pandas(), thinned["prediction"].to_numpy().astype(float), rows, of_served


def _step(rows: int, most: int) -> int:
    """Every so many-th row is kept, so that there are at most that many."""
    return max(1, -(-rows // most))
