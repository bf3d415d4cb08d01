"""Numbers for join keys, so that a join compares whole numbers whatever the keys are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class KeyNumbers:
    """A number for each distinct join key of n rows, and the same one for any other row with that key.

    Args:
        keys: The parts of the key, one array of n values each; none: all rows have the same.
        length: n.
    """

    def __init__(self, keys: Sequence[pa.Array], length: int) -> None:
        # One whole number is its own number: nothing to look up.
        self._itself = len(keys) == 1 and pa.types.is_integer(keys[0].type) and keys[0].type != pa.uint64()
        self._values: list[pa.Array] = []
        self._pairs: list[pa.Array] = []
        self.numbers: pa.Array = self._number(keys, length, learn=True)
        """n numbers (int64), null where a part of the key is null."""

    def of(self, keys: Sequence[pa.Array], length: int) -> pa.Array:
        """The numbers of other rows' keys, of the same types: null where a key is none of the n."""
        return self._number(keys, length, learn=False)

    def _number(self, keys: Sequence[pa.Array], length: int, learn: bool) -> pa.Array:
        if self._itself:
            return keys[0].cast(pa.int64())
        numbers: pa.Array | None = None
        for place, part in enumerate(keys):
            if learn:
                encoded = part.dictionary_encode()
                self._values.append(encoded.dictionary)
                number = encoded.indices.cast(pa.int64())
            else:
                number = pc.index_in(part, self._values[place], skip_nulls=True).cast(pa.int64())
            if numbers is None:
                numbers = number
                continue
            # Numbered anew after each part, so that they never outgrow 64 bits.
            pair = pc.add(pc.multiply(numbers, len(self._values[place])), number)
            if learn:
                self._pairs.append(pair.unique().drop_null())
            numbers = pc.index_in(pair, self._pairs[place - 1], skip_nulls=True).cast(pa.int64())
        return pa.array(np.zeros(length, dtype=np.int64)) if numbers is None else numbers
