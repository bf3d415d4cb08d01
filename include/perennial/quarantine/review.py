"""Records people's decisions about what is in quarantine; the next run of the partition applies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from perennial import lake
from perennial.batches import unpacked
from perennial.errors import InvalidParams
from perennial.partitions import Partition
from perennial.quarantine import files
from perennial.quarantine.items import QuarantinedItem, find_items
from perennial.quarantine.locking import lock
from perennial.quarantine.readmission import check_types, readmit, required_expectations
from perennial.quarantine.states import TYPES, UNREADABLE, UNREADABLE_FIX, ItemState, ReviewAction
from perennial.quarantine.store import ReviewDecision, record_decisions
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, SuiteResult, check_batch, split_batch

_SAME_KEY = "a clean row with its key has arrived meanwhile"
#: Stored content keeps the types that it came in.
_ANOTHER_BATCH = (
    "Give the column the table's type in source.py and fetch the partition again: the batch that enters takes the place"
    " of this one."
)
_UNDECIDED = (ItemState.PENDING, ItemState.RELEASING)


@dataclass
class ReviewOutcome:
    """What a decision did.

    Attributes:
        decided: Items that it was taken about; it takes effect once the partition has run.
        still_broken: Items that still break something, and what.
    """

    decided: list[QuarantinedItem] = field(default_factory=list)
    still_broken: list[tuple[QuarantinedItem, str]] = field(default_factory=list)


def release(
    use_case: UseCase,
    partition: Partition,
    *,
    actor: str,
    reason: str,
    table: str | None = None,
    named: Sequence[str] = (),
    accept: Sequence[str] = (),
    dry_run: bool = False,
) -> ReviewOutcome:
    """Release items pending review, as far as they pass the current suite or a person accepts what they break.

    Every item is validated again: rows among the clean ones of their partition, a batch as a whole. Those that pass are
    released, which is recorded; those that break something stay. Running `features` for the partition brings them in.
    Doing it again changes nothing.

    Args:
        use_case: The use case.
        partition: The partition of the items.
        actor: Who releases them.
        reason: Why.
        table: Only items of this raw table.
        named: Only these items; see `find_items`.
        accept: What they may break all the same: names of expectations, `min_rows`, `max_quarantined`. Nobody can
            accept what the table's declaration requires of every row: its key, and a time inside the partition; nor
            types that the lake's table cannot hold.
        dry_run: Validate, and record nothing.

    Raises:
        InvalidParams: there are no such items, `reason` is empty, or `accept` names what cannot be accepted.
    """
    _check_reason(reason)
    with lock(use_case, partition):
        items = _to_release(use_case, partition, table, named)
        _check_acceptable(use_case, partition, items, accept)
        outcome = ReviewOutcome()
        for raw in use_case.raw:
            of_table = [item for item in items if item.table == raw.name]
            _validate_rows(use_case, raw, partition, [i for i in of_table if i.kind == "row"], accept, outcome)
            _validate_batches(use_case, raw, partition, [i for i in of_table if i.kind == "batch"], accept, outcome)
        if dry_run:
            return outcome
        # One commit: a release that is killed has released all or nothing.
        record_decisions(
            use_case,
            partition,
            ReviewAction.RELEASED,
            # What is released already stays as it was, unless more is accepted of it now.
            [asdict(item) for item in outcome.decided if item.state == ItemState.PENDING or accept],
            actor=actor,
            reason=reason,
            accepted=accept,
        )
        return outcome


def discard(
    use_case: UseCase,
    partition: Partition,
    *,
    actor: str,
    reason: str,
    table: str | None = None,
    named: Sequence[str] = (),
    dry_run: bool = False,
) -> ReviewOutcome:
    """Discard items: they are no longer pending review, and stay stored. A release is taken back.

    Args:
        use_case: The use case.
        partition: The partition of the items.
        actor: Who discards them.
        reason: Why.
        table: Only items of this raw table.
        named: Only these items; see `find_items`. What was already released must be named.
        dry_run: Find them, and record nothing.

    Raises:
        InvalidParams: there are no such items, or `reason` is empty.
    """
    _check_reason(reason)
    with lock(use_case, partition):
        states = (*_UNDECIDED, ItemState.RELEASED, ItemState.DISCARDED) if named else (ItemState.PENDING,)
        items = _find_some(use_case, partition, table, named, states)
        if not dry_run:
            record_decisions(
                use_case, partition, ReviewAction.DISCARDED, map(asdict, items), actor=actor, reason=reason
            )
        return ReviewOutcome(decided=items)


def _to_release(
    use_case: UseCase, partition: Partition, table: str | None, named: Sequence[str]
) -> list[QuarantinedItem]:
    """The items pending review or released but not loaded yet.

    Without any, the batch that was released last: its records do not say whether it has entered, and whoever was cut
    off releases it again.
    """
    if not find_items(use_case, partition, table=table, states=_UNDECIDED):
        released = find_items(use_case, partition, table=table, named=named, states=(ItemState.RELEASED,))
        batches = [item for item in released if item.kind == "batch"]
        if batches:
            return [max(batches, key=_decided_at)]
    return _find_some(use_case, partition, table, named, _UNDECIDED)


def _decided_at(item: QuarantinedItem) -> datetime:
    return item.decision.recorded_at if item.decision else item.recorded_at


def _find_some(
    use_case: UseCase,
    partition: Partition,
    table: str | None,
    named: Sequence[str],
    states: tuple[ItemState, ...],
) -> list[QuarantinedItem]:
    """The items that a decision is about: at least one."""
    items = find_items(use_case, partition, table=table, named=named, states=states)
    if not items:
        raise InvalidParams(
            f"Nothing of {use_case.name} {partition.key} is pending review in quarantine.",
            f"`perennial quarantine list {use_case.name} --all` shows what was decided.",
        )
    return items


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidParams("A decision needs a reason.", "Say why, in a sentence.")


def _check_acceptable(
    use_case: UseCase, partition: Partition, items: list[QuarantinedItem], accept: Sequence[str]
) -> None:
    broken = sorted({reason for item in items for reason in item.reasons})
    for name in accept:
        if name not in broken:
            raise InvalidParams(f"Nothing that is to be released breaks {name!r}.", f"It breaks {', '.join(broken)}.")
        if name.startswith(UNREADABLE):
            raise InvalidParams(
                f"{name} cannot be accepted: there is no row that could be loaded.", f"{UNREADABLE_FIX}."
            )
        if name == TYPES:
            raise InvalidParams(
                f"{name} cannot be accepted: the lake's table cannot hold the values as they are.", _ANOTHER_BATCH
            )
        for table in {item.table for item in items}:
            if name in required_expectations(use_case.raw_table(table), partition):
                raise InvalidParams(
                    f"{name} cannot be accepted: a row is found by its key and its event time.",
                    "Have the source send the row again, with the right key and time.",
                )


def _validate_rows(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    items: list[QuarantinedItem],
    accept: Sequence[str],
    outcome: ReviewOutcome,
) -> None:
    unreadable = [item for item in items if item.reasons[0].startswith(UNREADABLE)]
    outcome.still_broken += [(item, UNREADABLE_FIX) for item in unreadable]
    items = [item for item in items if item not in unreadable]
    if not items:
        return
    loaded = lake.read(use_case.tables[table.name], partitions=[partition.key])
    if loaded is None:
        clean = files.content(use_case, items[0].content).slice(0, 0)
    else:
        clean = loaded.drop_columns([lake.PARTITION])
    batch = SplitBatch(clean, clean.slice(0, 0), pa.array([], pa.string()), SuiteResult.empty())
    readmitted = readmit(use_case, table, partition, batch, [_as_if_released(item, accept) for item in items])
    broken = {decision.item: why for decision, why in readmitted.rejected}
    broken |= {decision.item: _SAME_KEY for decision in readmitted.superseded}
    for item in items:
        if item.item in broken:
            outcome.still_broken.append((item, broken[item.item]))
        else:
            outcome.decided.append(item)


def _as_if_released(item: QuarantinedItem, accept: Sequence[str]) -> ReviewDecision:
    """The decision that is about to be taken, to validate the item by."""
    return ReviewDecision(
        partition=item.partition,
        table=item.table,
        item=item.item,
        number=0,
        action=ReviewAction.RELEASED,
        accepted=frozenset(accept),
        content=item.content,
        position=item.position,
        suite=item.suite,
        actor="",
        reason="",
        recorded_at=datetime.now(UTC),
    )


def _validate_batches(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    items: list[QuarantinedItem],
    accept: Sequence[str],
    outcome: ReviewOutcome,
) -> None:
    if len(items) > 1:
        names = ", ".join(f"{item.item} ({item.rows} rows)" for item in items)
        raise InvalidParams(
            f"{len(items)} rejected batches of {table.name} {partition.key} are pending review, and only one can"
            " enter.",
            f"Name the right one: {names}.",
        )
    for item in items:
        content, unreadable = unpacked(files.content(use_case, item.content))
        batch = replace(split_batch(use_case, table, content, partition), unreadable=unreadable)
        try:
            check_batch(use_case, table, batch, partition, accept)
            check_types(use_case, table, batch.clean, partition)
        except RejectedBatch as error:
            why = "; ".join(error.broken.values())
            outcome.still_broken.append((item, f"{why} {_ANOTHER_BATCH}" if TYPES in error.broken else why))
        else:
            outcome.decided.append(item)
