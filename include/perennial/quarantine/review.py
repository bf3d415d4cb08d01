"""A person's decisions about what is in quarantine. They are recorded; the next run of the partition acts upon them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from perennial import lake
from perennial.errors import InvalidParams
from perennial.partitions import Partition
from perennial.quarantine import files
from perennial.quarantine.locking import lock
from perennial.quarantine.pending import Item, State, find
from perennial.quarantine.readmission import bring_back, insist_on_types, unacceptable
from perennial.quarantine.states import TYPES
from perennial.quarantine.store import Decision, decide
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, SuiteResult, check_batch, split_batch

SAME_KEY = "a clean row with its key has arrived meanwhile"
#: What is kept has the types that it came in.
_ANOTHER_BATCH = (
    "Give the column the table's type in source.py and fetch the partition again: the batch that enters takes the place"
    " of this one."
)


@dataclass
class Outcome:
    """What became of a decision.

    Attributes:
        decided: Items that it holds for now; the partition has to be run for it to show.
        refused: Items that still break something, and what.
    """

    decided: list[Item] = field(default_factory=list)
    refused: list[tuple[Item, str]] = field(default_factory=list)


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
) -> Outcome:
    """Let what waits in quarantine into the lake, as far as the present suite, or a person, accepts it.

    Every item is judged again: rows among the clean ones of their partition, a batch as a whole. Those that pass are
    released, which is recorded; those that break something stay. Running `features` for the partition brings them in.
    Doing it again changes nothing.

    Args:
        use_case, partition: Whose items.
        actor, reason: Who releases them, and why.
        table: Only items of this raw table.
        named: Only these items; see `find`.
        accept: What they may break all the same: names of expectations, `min_rows`, `max_quarantined`. Nobody can
            accept what the table's declaration asks of every row: its key, and a time inside the partition; nor types
            that turn values into others.
        dry_run: Judge, and record nothing.

    Raises:
        InvalidParams: nothing is meant, `reason` is empty, or `accept` names what cannot be accepted.
    """
    _insist_on_reason(reason)
    with lock(use_case, partition):
        meant = _to_release(use_case, partition, table, named)
        _insist_on_acceptable(use_case, partition, meant, accept)
        outcome = Outcome()
        for raw in use_case.raw:
            of_table = [item for item in meant if item.table == raw.name]
            _try_rows(use_case, raw, partition, [item for item in of_table if item.kind == "row"], accept, outcome)
            _try_batches(use_case, raw, partition, [item for item in of_table if item.kind == "batch"], accept, outcome)
        if dry_run:
            return outcome
        # One commit: a release that is killed has released all or nothing.
        decide(
            use_case,
            partition,
            "released",
            # What is released already stays as it was, unless more is accepted of it now.
            [asdict(item) for item in outcome.decided if item.state == "waiting" or accept],
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
) -> Outcome:
    """Declare that items are rightly refused: they wait no longer, and are kept. What was released is taken back.

    Args:
        use_case, partition: Whose items.
        actor, reason: Who discards them, and why.
        table: Only items of this raw table.
        named: Only these items; see `find`. What was already released must be named.
        dry_run: Find them, and record nothing.

    Raises:
        InvalidParams: nothing is meant, or `reason` is empty.
    """
    _insist_on_reason(reason)
    with lock(use_case, partition):
        states: tuple[State, ...] = ("waiting", "releasing", "released", "discarded") if named else ("waiting",)
        meant = _meant(use_case, partition, table, named, states)
        if not dry_run:
            decide(use_case, partition, "discarded", map(asdict, meant), actor=actor, reason=reason)
        return Outcome(decided=meant)


def _to_release(use_case: UseCase, partition: Partition, table: str | None, named: Sequence[str]) -> list[Item]:
    """What waits or is on its way in; without any, the batch that was released last: its records do not say whether it
    has entered, and whoever was cut off releases it again."""
    if not find(use_case, partition, table=table, states=("waiting", "releasing")):
        done: tuple[State, ...] = ("released",)
        released = find(use_case, partition, table=table, named=named, states=done)
        batches = [item for item in released if item.kind == "batch"]
        if batches:
            return [max(batches, key=_decided_at)]
    return _meant(use_case, partition, table, named, ("waiting", "releasing"))


def _decided_at(item: Item) -> datetime:
    return item.decision.recorded_at if item.decision else item.recorded_at


def _meant(
    use_case: UseCase, partition: Partition, table: str | None, named: Sequence[str], states: tuple[State, ...]
) -> list[Item]:
    """The items that a decision is about: at least one."""
    found = find(use_case, partition, table=table, named=named, states=states)
    if not found:
        raise InvalidParams(
            f"Nothing of {use_case.name} {partition.key} waits in quarantine.",
            f"`perennial quarantine list {use_case.name} --all` shows what was decided.",
        )
    return found


def _insist_on_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidParams("A decision needs a reason.", "Say why, in a sentence.")


def _insist_on_acceptable(use_case: UseCase, partition: Partition, meant: list[Item], accept: Sequence[str]) -> None:
    broken = sorted({reason for item in meant for reason in item.reasons})
    for name in accept:
        if name not in broken:
            raise InvalidParams(f"Nothing that is to be released breaks {name!r}.", f"It breaks {', '.join(broken)}.")
        if name == TYPES:
            raise InvalidParams(
                f"{name} cannot be accepted: in the lake's table the values would become others.", _ANOTHER_BATCH
            )
        for table in {item.table for item in meant}:
            if name in unacceptable(use_case.raw_table(table), partition):
                raise InvalidParams(
                    f"{name} cannot be accepted: keys and event times make a row findable.",
                    "Have the source send the row again, with the right key and time.",
                )


def _try_rows(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    rows: list[Item],
    accept: Sequence[str],
    outcome: Outcome,
) -> None:
    if not rows:
        return
    clean = lake.read(use_case.tables[table.name], partitions=[partition.key])
    held = files.content(use_case, rows[0].content).slice(0, 0) if clean is None else clean.drop_columns(["partition"])
    parted = SplitBatch(held, held.slice(0, 0), pa.array([], pa.string()), SuiteResult.empty())
    wishes = [_wish(item, accept) for item in rows]
    returned = bring_back(use_case, table, partition, parted, wishes)
    refused = {decision.item: why for decision, why in returned.refused}
    refused |= {decision.item: SAME_KEY for decision in returned.superseded}
    for item in rows:
        if item.item in refused:
            outcome.refused.append((item, refused[item.item]))
        else:
            outcome.decided.append(item)


def _wish(item: Item, accept: Sequence[str]) -> Decision:
    return Decision(
        partition=item.partition,
        table=item.table,
        item=item.item,
        number=0,
        action="released",
        accepted=frozenset(accept),
        content=item.content,
        position=item.position,
        suite=item.suite,
        actor="",
        reason="",
        recorded_at=datetime.now(UTC),
    )


def _try_batches(
    use_case: UseCase,
    table: RawTable,
    partition: Partition,
    batches: list[Item],
    accept: Sequence[str],
    outcome: Outcome,
) -> None:
    if len(batches) > 1:
        names = ", ".join(f"{item.item} ({item.rows} rows)" for item in batches)
        raise InvalidParams(
            f"{len(batches)} refused batches of {table.name} {partition.key} wait, and one can enter.",
            f"Name the right one: {names}.",
        )
    for item in batches:
        parted = split_batch(use_case, table, files.content(use_case, item.content), partition)
        try:
            check_batch(use_case, table, parted, partition, accept)
            insist_on_types(use_case, table, parted.clean, partition)
        except RejectedBatch as error:
            why = "; ".join(error.broken.values())
            outcome.refused.append((item, f"{why} {_ANOTHER_BATCH}" if TYPES in error.broken else why))
        else:
            outcome.decided.append(item)
