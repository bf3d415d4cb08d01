"""Decides whether there is enough data for the first model: partitions, labelled rows, and blocks for its gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.evaluation import blocks
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: A first partition with less than this share of the rows that others have began somewhere in its middle.
_WHOLE = 0.5


@dataclass(frozen=True)
class FirstWindow:
    """The window that a first model would be trained on, and what is still missing.

    Attributes:
        loaded: Partitions up to the newest.
        whole: Of those from the first with examples on, how many count: a short first one does not.
        missing: What is missing, sentences for people; empty: a first model can be trained.
    """

    loaded: int
    whole: int
    missing: tuple[str, ...]

    @property
    def is_enough(self) -> bool:
        """Whether a first model can be trained."""
        return not self.missing


def measure(use_case: UseCase, last: Partition) -> FirstWindow:
    """Measure the window from the first partition to `last`, as training would build it.

    Args:
        use_case: Its `retraining.initial_partitions`, `retraining.initial_rows` and gate say what is enough.
        last: The newest partition.
    """
    between = list(use_case.first.through(last))
    columns = (lake.PARTITION, "event_timestamp", "label", "label_timestamp")
    examples = lake.read(use_case.tables.examples, between=(between[0].key, last.key), columns=columns)
    counts = dict.fromkeys((each.key for each in between), 0)
    if examples is not None:
        for each in examples[lake.PARTITION].value_counts().to_pylist():
            counts[each["values"]] = each["counts"]
    whole = _whole(list(counts.values()))
    needed = use_case.retraining.initial_partitions
    missing = []
    if whole < needed:
        short = " (the first is short, and does not count)" if whole == len(_begun(list(counts.values()))) - 1 else ""
        missing.append(f"{needed} are needed for the first model{short}")
    elif examples is not None:
        first = between[-use_case.retraining.window :][0] if use_case.retraining.window else between[0]
        missing += _missing_rows(use_case, first, last, examples)
    return FirstWindow(len(between), whole, tuple(missing))


def _begun(rows: list[int]) -> list[int]:
    """The rows of the partitions from the first on that has some."""
    return rows[next((number for number, count in enumerate(rows) if count), len(rows)) :]


def _whole(rows: list[int]) -> int:
    """How many partitions count, given the rows of each."""
    begun = _begun(rows)
    others = [count for count in begun[1:] if count]
    is_short = bool(others) and begun[0] < _WHOLE * float(np.median(others))
    return len(begun) - is_short


def _missing_rows(use_case: UseCase, first: Partition, last: Partition, examples: pa.Table) -> list[str]:
    """What the labelled rows of the window lack for a fit and for the gate's holdout."""
    end, start = pa.scalar(last.end), pa.scalar(first.start)
    mature = pc.and_(labels.are_known(examples["label"]), pc.less_equal(examples["label_timestamp"], end))
    inside = pc.greater_equal(examples["event_timestamp"], start)
    rows = examples.filter(pc.fill_null(pc.and_(mature, inside), False)).to_pandas()
    is_holdout = (rows["event_timestamp"] >= use_case.holdout_start(first.start, last.end)).to_numpy()
    fit, holdout = rows[~is_holdout], rows[is_holdout]
    gate, wanted = use_case.gate, use_case.retraining.initial_rows or 0
    missing = []
    if min(len(fit), len(holdout)) < gate.min_rows or len(rows) < wanted:
        also = f", {wanted} in all" if wanted else ""
        missing.append(
            f"{len(fit)} labelled rows to fit on and {len(holdout)} in the holdout, {gate.min_rows} of each are"
            f" needed{also}"
        )
    elif use_case.task != "regression" and fit["label"].nunique() < 2:
        missing.append(f"every label to fit on is {fit['label'].iloc[0]}")
    block = blocks.blocks_of(holdout["event_timestamp"], gate.block) if len(holdout) else np.empty(0, dtype=np.int64)
    informative = blocks.count_informative(use_case.task, labels.encoded(use_case, holdout["label"]), block)
    length = str(gate.block).removesuffix(", 0:00:00")
    if informative < gate.min_blocks:
        of = f"blocks of {length}{blocks.INFORMATIVE[use_case.task]}"
        missing.append(f"the holdout has {informative} {of}, {gate.min_blocks} are needed")
    return missing
