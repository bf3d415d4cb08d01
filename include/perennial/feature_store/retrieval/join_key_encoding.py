"""Encodes join keys as whole numbers, so that a join compares numbers whatever the keys are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class JoinKeyEncoder:
    """Gives each distinct join key of n rows a number, and the same one to any other row with that key.

    Attributes:
        codes: The numbers of the n rows (int64), null where a part of the key is null.
    """

    def __init__(self, keys: Sequence[pa.Array], length: int) -> None:
        """Learn the keys of n rows.

        Args:
            keys: The parts of the key, one array of n values each; none: all rows have the same key.
            length: n.
        """
        # One whole number is its own code: nothing to look up.
        self._is_own_code = len(keys) == 1 and pa.types.is_integer(keys[0].type) and keys[0].type != pa.uint64()
        self._values: list[pa.Array] = []
        self._pairs: list[pa.Array] = []
        self.codes: pa.Array = self._encode(keys, length, learn=True)

    def encode(self, keys: Sequence[pa.Array], length: int) -> pa.Array:
        """The codes of other rows' keys.

        Args:
            keys: The parts of the key, one array of m values each, of the same types.
            length: m.

        Returns:
            m codes (int64), null where a key is none of the n that were learned.
        """
        return self._encode(keys, length, learn=False)

    def _encode(self, keys: Sequence[pa.Array], length: int, learn: bool) -> pa.Array:
        if self._is_own_code:
            return keys[0].cast(pa.int64())
        codes: pa.Array | None = None
        for number, column in enumerate(keys):
            if learn:
                encoded = column.dictionary_encode()
                self._values.append(encoded.dictionary)
                code = encoded.indices.cast(pa.int64())
            else:
                code = pc.index_in(column, self._values[number], skip_nulls=True).cast(pa.int64())
            if codes is None:
                codes = code
                continue
            # Numbered again after each part, so that codes never outgrow 64 bits.
            pair = pc.add(pc.multiply(codes, len(self._values[number])), code)
            if learn:
                self._pairs.append(pair.unique().drop_null())
            codes = pc.index_in(pair, self._pairs[number - 1], skip_nulls=True).cast(pa.int64())
        return pa.array(np.zeros(length, dtype=np.int64)) if codes is None else codes
