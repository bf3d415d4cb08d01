"""Who answers an entity while a canary is under way: the same version for all its requests, on every server."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

#: As many bits of the hash as a float holds exactly.
_BITS = 53


def place(use_case: str, version: int, entity: Sequence[Any]) -> float:
    """Where an entity is between 0 and 1; evenly spread, and another place for each version.

    Args:
        use_case: The use case's name.
        version: The challenger.
        entity: The values that it is known by, as a request's check returned them.
    """
    content = msgspec.json.encode([use_case, version, *entity])
    return (int.from_bytes(blake2b(content, digest_size=8).digest()) >> (64 - _BITS)) / (1 << _BITS)


def is_canary(use_case: str, version: int, entity: Sequence[Any], share: float) -> bool:
    """Whether the challenger answers an entity; a larger share keeps all entities of a smaller one.

    Args:
        use_case: The use case's name.
        version: The challenger.
        entity: See `place`.
        share: Of the entities.
    """
    return place(use_case, version, entity) < share
