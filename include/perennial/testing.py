"""What the tests of a use case need: its declaration, raw batches validated, and its model used, as the pipelines do.

Nothing here needs a server, or writes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial import discovery, lake, validation
from perennial.partitions import Partition
from perennial.use_case import UseCase

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from perennial.validation import SplitBatch

__all__ = [
    "lake_types",
    "predict",
    "raw_batch",
    "split_batch",
    "trusted_types",
    "use_case",
    "validate_batch",
    "without_outcome",
]


def use_case(name: str) -> UseCase:
    """The use case as it is declared in `include/use_cases/<name>/use_case.py`.

    Raises:
        UnknownUseCase: there is no such use case.
    """
    return discovery.load(name)


def lake_types(rows: pa.Table) -> pa.Table:
    """Rows in the types that the lake stores: times in UTC to the microsecond, plain strings, no dictionaries."""
    return lake.canonical(rows)


def raw_batch(use_case: UseCase, table: str, partition: Partition) -> pa.Table:
    """The rows that `source.py` gives for a partition, as ingestion gets them; what it cannot read is left out.

    Args:
        use_case: The use case.
        table: The raw table; the function in `source.py` has its name.
        partition: The partition to fetch.

    Raises:
        BadBatch: the function does not exist, raises, or returns something else than rows that the lake can hold.
    """
    from perennial.ingestion import ingest

    return ingest.fetch(use_case, use_case.raw_table(table), partition).rows


def split_batch(use_case: UseCase, table: str, rows: pa.Table, partition: Partition) -> SplitBatch:
    """A raw batch split into its `clean` rows, the `quarantined` ones, and `reasons`, one for each of those.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        rows: The batch, as `source.py` returns it.
        partition: The partition that it is for.
    """
    return validation.split_batch(use_case, use_case.raw_table(table), lake_types(rows), partition)


def validate_batch(use_case: UseCase, table: str, rows: pa.Table, partition: Partition) -> SplitBatch:
    """A raw batch split as by `split_batch`, which may also be rejected as a whole.

    Args:
        use_case: The use case.
        table: The raw table that the batch is for.
        rows: The batch, as `source.py` returns it.
        partition: The partition that it is for.

    Raises:
        BadBatch: too few rows, too many of them broken, or an expectation about the whole batch is not met.
    """
    return validation.validate_batch(use_case, use_case.raw_table(table), lake_types(rows), partition)


def without_outcome(use_case: UseCase, table: str, rows: pa.Table) -> pa.Table:
    """Raw rows as they are before their outcome, for a use case with `examples.ahead`: null in all other columns.

    Of such rows the transform `examples` has to make the same examples, but for the label.

    Args:
        use_case: The use case.
        table: The raw table, with its `known_ahead`.
        rows: Rows of it.
    """
    from perennial.ingestion import known_ahead

    return known_ahead.without_outcome(use_case.raw_table(table), rows)


def predict(use_case: UseCase, model: Any, rows: pd.DataFrame) -> np.ndarray:
    """What a fitted estimator predicts, as scoring takes it.

    Args:
        use_case: Its task decides between probabilities and values.
        model: What `build()` of `model.py` returned, fitted.
        rows: The model's features.

    Returns:
        (n,) float64: probabilities of 1 for a binary use case, values for a regression; for a multi-class use case
        (n, K), a probability of each class in the order of `classes`.
    """
    from perennial.registry import model_loading

    return model_loading.predictor(use_case, model)(rows)


def trusted_types(use_case: UseCase) -> set[str]:
    """The types beyond those of skops' own list that a stored model of the use case may hold and still be loaded."""
    from perennial.registry import model_format

    return model_format.trusted_types(use_case)
