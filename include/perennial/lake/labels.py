"""The labels of examples, as far as they are in: one is known where it is neither null nor NaN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import BadFeatures
from perennial.partitions import Partition
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS


@dataclass(frozen=True)
class KnownLabels:
    """How many labels of a partition are known, and a digest of them.

    Attributes:
        count: How many.
        digest: Of which example has which label, whatever their order: it tells that a label was corrected.
    """

    count: int = 0
    digest: str = f"{0:016x}"

    @classmethod
    def among(cls, rows: Iterable[pa.RecordBatch], columns: Sequence[str]) -> KnownLabels:
        """What is known in batches of examples, of which `columns` are the key and `label`.

        Args:
            rows: Batches of one partition's examples; each example is in one of them only.
            columns: The columns of the examples' key, and `label`; others are not read.
        """
        count, digest = 0, 0
        for batch in rows:
            labelled = pa.Table.from_batches([batch]).select(list(columns))
            labelled = labelled.filter(are_known(labelled["label"])).to_pandas()
            # As a float, so that a column of whole numbers that became one of fractions is no correction.
            if pd.api.types.is_numeric_dtype(labelled["label"]):
                labelled = labelled.astype({"label": float})
            hashes = pd.util.hash_pandas_object(labelled, index=False).to_numpy()
            count, digest = count + len(labelled), (digest + int(hashes.sum())) % 2**64
        return cls(count, f"{digest:016x}")


def are_known(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """(n,) whether each label is known."""
    if pa.types.is_floating(labels.type):
        return pc.fill_null(pc.invert(pc.is_nan(labels)), False)
    return pc.is_valid(labels)


def null_where_unknown(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """The labels, with null for NaN: the lake knows one way of not knowing."""
    return pc.if_else(are_known(labels), labels, pa.scalar(None, labels.type))


def encoded(use_case: UseCase, column: pd.Series | pl.Series | pa.ChunkedArray) -> np.ndarray:
    """(n,) known labels as numbers, as metrics take them: of a multi-class use case int64, the place in `classes`.

    Args:
        use_case: Whose task and classes.
        column: (n,) the labels, none of them null.

    Raises:
        BadFeatures: a label is no declared class.
    """
    if use_case.task != MULTICLASS:
        return column.to_numpy()
    check_declared(use_case, column, f"Use case {use_case.name!r}")
    return pd.Index(use_case.classes).get_indexer(pd.Index(column.to_numpy(), dtype=object))


def check_declared(use_case: UseCase, column: pd.Series | pl.Series | pa.ChunkedArray, where: str) -> None:
    """Refuse labels that are no declared class: none is dropped, or taken for another one.

    Args:
        use_case: Whose task and classes; labels of other tasks are not looked at.
        column: (n,) labels, null where not known.
        where: Begins the message of the error.

    Raises:
        BadFeatures: naming each such label, and how often it occurs; or they are no text.
    """
    if use_case.task != MULTICLASS:
        return
    labels = pl.Series(column).drop_nulls()
    if len(labels) and labels.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise BadFeatures(
            f"{where}: labels are of type {labels.dtype}, such as {labels[0]!r}, and classes are names.",
            f"Let `examples` in include/use_cases/{use_case.name}/transforms.py return text as label:"
            ' label.cast("string").',
        )
    found = labels.cast(pl.String).value_counts(name="rows").rows()
    unknown = sorted((name, rows) for name, rows in found if name not in use_case.classes)
    if unknown:
        listed = ", ".join(f"{name!r} of {rows:,}" for name, rows in unknown)
        raise BadFeatures(
            f"{where}: labels that are no declared class: {listed} examples. The classes are"
            f" {', '.join(use_case.classes)}.",
            f"Add it to classes in include/use_cases/{use_case.name}/use_case.py, restart the prediction server and run"
            " the features again, or let `examples` in transforms.py return another label. Versions that do not know a"
            " class give it probability 0.",
        )


def read_known(use_case: UseCase, partition: Partition) -> pl.DataFrame:
    """The examples of a partition whose label is known: the columns of their key, and `label`.

    Args:
        use_case: Its examples exist in the lake.
        partition: Of event time.
    """
    examples = lake.read(
        use_case.tables.examples,
        partitions=[partition.key],
        columns=[*use_case.examples.key, "label"],
        where=lake.is_known("label"),
    )
    assert examples is not None, "who asks for labels has seen examples"  # noqa: S101
    known = examples.filter(are_known(examples["label"]))
    check_declared(use_case, known["label"], f"Use case {use_case.name!r}, partition {partition.key!r}")
    return pl.DataFrame(known)


def count_known(use_case: UseCase, partitions: Iterable[str]) -> dict[str, KnownLabels]:
    """The known labels of each partition now; from keys and labels alone, a batch at a time.

    Args:
        use_case: Whose examples are read.
        partitions: Names of partitions.
    """
    name, columns, has_label = use_case.tables.examples, [*use_case.examples.key, "label"], lake.is_known("label")
    return {
        each: KnownLabels.among(lake.iter_batches(name, partition=each, columns=columns, where=has_label), columns)
        for each in partitions
    }
