"""What a partition's loss of performance comes from: the shift of its inputs, each drifted column, or none of them.

It is for people and decides nothing: where it cannot be told, that is said, and monitoring goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from perennial import lake
from perennial.drift import ColumnDrift
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.evaluation.shift import SMALLEST_OVERLAP, Sample, Shift, cost_of_shift
from perennial.gate import challenger
from perennial.lake import labels, prediction_columns
from perennial.monitoring import performance
from perennial.monitoring.expectation import Expectation
from perennial.monitoring.performance import Performance
from perennial.monitoring.verdict import Attribution
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading, tracking
from perennial.training.training_set import rows_to_judge
from perennial.use_case import UseCase
from perennial.use_case.metric_names import VALUE, gain

log = logging.getLogger(__name__)
#: Rows of the holdout, and of the partition, that are compared at most.
SAMPLED_ROWS = 10_000
#: Drifted columns whose own cost is measured at most, the most important ones.
MEASURED_COLUMNS = 10


def attribute(
    use_case: UseCase,
    partition: Partition,
    version: int,
    columns: list[ColumnDrift],
    measured: Performance,
    expected: Expectation,
) -> tuple[Attribution | None, list[ColumnDrift]]:
    """Divide what was lost against the expected metric: see `perennial.evaluation.shift`.

    Compares the rows of the partition that performance was measured on with those of the holdout that the expected
    metric was measured on, at most 10,000 of each, drawn with a fixed seed.

    Args:
        use_case: Whose gate metric is meant.
        partition: A scored partition.
        version: The version that scored it.
        columns: Drift of its columns.
        measured: How good its predictions were.
        expected: What was expected of them.

    Returns:
        The attribution, None where there is nothing to explain: performance or what is expected is not known, or it
        did not fall and no input drifted; nor is a loss of `value`, which takes more than labels, divided.
        And the columns, those that drifted with their `cost` where it is known.

    Raises:
        ServiceUnavailable: MLflow, which holds the version that the expected metric is of, does not answer.
    """
    metric = use_case.gate.metric
    production, reference = measured.champion.get(metric), expected.metrics.get(metric)
    inputs = [column for column in columns if not column.is_prediction]
    drifted = [column for column in inputs if column.drifted]
    if (
        metric == VALUE
        or production is None
        or reference is None
        or expected.source is None
        or expected.source.decision is None
    ):
        return None, columns
    lost = gain(metric, reference, production)
    if not drifted and not performance.fell(use_case, lost, measured):
        return None, columns
    names = [column.column for column in inputs]
    try:
        before = _holdout(use_case, version, expected.source.decision)
        after = _labelled(use_case, partition, version, names)
        names = [name for name in names if name in before.inputs and name in after.inputs]
        together, costs = _costs(use_case, before, after, names, drifted)
    except ServiceUnavailable:
        raise
    except Exception as error:  # A model or a file from years ago may fail in any way; the verdict does not need it.
        problem = error.problem if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        log.warning("%s %s: what the inputs cost is left out: %s", use_case.name, partition, problem)
        return Attribution(left_out=problem), columns
    attribution = together.model_copy(
        update={"unexplained": _digits(lost - together.cost_of_inputs)} if together.cost_of_inputs is not None else {}
    )
    return attribution, [replace(column, cost=costs.get(column.column)) for column in columns]


def _costs(
    use_case: UseCase, before: Sample, after: Sample, names: Sequence[str], drifted: Sequence[ColumnDrift]
) -> tuple[Attribution, dict[str, float | None]]:
    """What all inputs cost together, and each of the drifted columns by itself."""
    metric, enough = use_case.gate.metric, min(use_case.drift.min_rows, SAMPLED_ROWS // 10)
    together = cost_of_shift(use_case, metric, before, after, names, enough)
    most = sorted(drifted, key=lambda column: (-column.importance, column.column))[:MEASURED_COLUMNS]
    costs = {
        column.column: _digits(cost_of_shift(use_case, metric, before, after, [column.column], enough).cost)
        for column in most
        if column.column in names
    }
    attribution = Attribution(
        cost_of_inputs=_digits(together.cost),
        unknown="" if together.cost is not None else _why_unknown(together),
        overlap=round(together.overlap, 4),
        rows=len(after.label),
        holdout_rows=len(before.label),
    )
    return attribution, costs


def _why_unknown(shift: Shift) -> str:
    if shift.overlap < SMALLEST_OVERLAP:
        return "partition and holdout have too little in common"
    return "too few of their rows are alike, or these have one label only"


def _digits(cost: float | None) -> float | None:
    """Six digits: a model that predicts on several threads rounds otherwise each time, and a verdict repeats itself."""
    return None if cost is None else float(f"{cost:.6g}")


def _holdout(use_case: UseCase, version: int, decision: int) -> Sample:
    """The rows on which a decision measured a version, and its predictions of them; of a refit, what was evaluated."""
    entries = ledger.entries(use_case)
    evaluated = ledger.evaluated_for(entries, version) or version
    decided = ledger.evaluated_for(entries, decision) or decision
    data = challenger.training_set(use_case, tracking.run_of(use_case, decided))
    fitted_until = challenger.training_set(use_case, tracking.run_of(use_case, evaluated)).holdout_start
    held_out = rows_to_judge(data.table, max(data.holdout_start, fitted_until))
    rows = held_out.take(_drawn(held_out.num_rows)).to_pandas()
    return Sample(rows, labels.encoded(use_case, rows["label"]), model_loading.load(use_case, evaluated)(rows))


def _labelled(use_case: UseCase, partition: Partition, version: int, names: Sequence[str]) -> Sample:
    """The partition's rows by which the version is judged, with the features that it saw."""
    key = list(use_case.examples.key)
    _, rows = performance.judged(use_case, partition, version)
    if rows is None:
        raise PerennialError(f"Use case {use_case.name!r}, partition {partition}: too few rows have a label.")
    drawn = rows[_drawn(rows.height)].select(*key, "label")
    table = lake.table(use_case.tables.predictions)
    stored = set(table.schema().column_names) if table is not None else set()
    made = prediction_columns.names(use_case)
    wanted = list(dict.fromkeys([*key, "event_timestamp", *(name for name in (*made, *names) if name in stored)]))
    batches = lake.iter_batches(
        use_case.tables.predictions,
        partition=partition.key,
        columns=wanted,
        where=lake.equals("model_version", version),
    )
    found = pl.concat([pl.DataFrame(batch).join(drawn, on=key, validate="1:1") for batch in batches])
    found = prediction_columns.gathered(use_case, found.sort("event_timestamp", *key))
    label, prediction = labels.encoded(use_case, found["label"]), found["prediction"].to_numpy()
    return Sample(found.drop("prediction").to_arrow().to_pandas(), label, prediction)


def _drawn(rows: int) -> np.ndarray:
    """The places of at most `SAMPLED_ROWS` rows, in order; always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:SAMPLED_ROWS])
