"""On how many examples a property is tried: on as many as its test asks for, with `--fast` on a few."""

from __future__ import annotations

#: The most; None: any number. `tests/conftest.py` sets it before the tests are imported.
limit: int | None = None


def examples(wanted: int) -> int:
    """What Hypothesis takes as `max_examples`."""
    return wanted if limit is None else min(wanted, limit)
