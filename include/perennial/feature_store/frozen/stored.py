"""What the stores return of an entity: the form that `redis` and `sqlite` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: A view's row of an entity: its event time in microseconds since 1970 (UTC), and each feature's serialized value, None
#: where the store has none. None: there is no row.
StoredRow = tuple[int, Sequence[bytes | None]] | None


class Reads(Protocol):
    """A store that a plan is read from.

    Attributes:
        absent_is_null: Whether a feature without a value counts as one that is null, with the age of its row.
    """

    absent_is_null: bool

    def fetch(self, entities: Sequence[Sequence[bytes]]) -> list[list[list[StoredRow]]]:
        """What is stored, by key of the plan, entity and view.

        Args:
            entities: The serialized entity keys, by key of the plan.
        """
