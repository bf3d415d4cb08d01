"""Holds a compiled model against the pipeline it was made of, to the bit, on rows that were recorded and on edges."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.registry.model_loading import Predict
from perennial.serving.compiled_models.model import CompiledModel, compiled
from perennial.serving.compiled_models.steps import NotCompiled

log = logging.getLogger(__name__)

#: Rows that are made up, from values at which a prediction changes.
_MADE_UP = 2000
#: Rows that are predicted alone, and together in batches of these sizes.
_ALONE = 24
_SIZES = (2, 3, 5, 8, 16, 33)
#: A share of null, and of a text that nobody knows, in made-up rows.
_ODD = 0.1
_UNKNOWN = "nobody knows this"

Row = list[Any]


def checked(model: Any, task: str, schema: pa.Schema, predict: Predict, recorded: pa.Table | None) -> CompiledModel:
    """Compile a fitted pipeline, and check it.

    Args:
        model: The pipeline.
        task: The use case's.
        schema: The model's inputs, in its order, in the types that a server has them in.
        predict: What the pipeline predicts of a frame.
        recorded: Rows that were predicted or trained on, with these columns; None: there are none.

    Raises:
        NotCompiled: it cannot be compiled, or does not predict what the pipeline does; the message says why.
    """
    reason = ""
    for order in ("C", "F"):
        candidate = compiled(model, task, schema, order)
        rows = _rows(candidate, schema, recorded)
        reason = _difference(candidate, schema, predict, rows)
        if not reason:
            return candidate
    raise NotCompiled(reason)


def _rows(candidate: CompiledModel, schema: pa.Schema, recorded: pa.Table | None) -> list[Row]:
    """Recorded rows, and made-up ones of the same values, of edges of trees, of nulls and of unknown texts."""
    random = np.random.default_rng(0)
    known = [] if recorded is None else [list(row.values()) for row in recorded.select(schema.names).to_pylist()]
    pools = [_pool(candidate, schema, place, [row[place] for row in known], random) for place in range(len(schema))]
    made_up = [[pool[random.integers(len(pool))] for pool in pools] for _ in range(_MADE_UP)]
    for row in made_up:
        for place in np.flatnonzero(random.random(len(row)) < _ODD):
            row[place] = None
    return [*known, *made_up]


def _pool(
    candidate: CompiledModel, schema: pa.Schema, place: int, seen: Sequence[Any], random: np.random.Generator
) -> list[Any]:
    """Values for one column."""
    values = list({value for value in seen if value is not None})[:500]
    vocabularies = dict(candidate.vocabularies)
    if place in vocabularies:
        texts = [text for text in vocabularies[place].numbers if text is not None]
        return [*values, *texts, *[_UNKNOWN] * (1 + len(texts) // 10)]
    edges = candidate.estimator.edges.get(place, np.zeros(0))
    edges = edges[np.isfinite(edges)]
    if pa.types.is_integer(schema.field(place).type):
        near = np.clip(np.concatenate([np.floor(edges), np.ceil(edges)]), -(2**31), 2**31 - 1)
        return [*values, *near.astype(int).tolist(), -1, 0, 1]
    near = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])
    return [*values, *near.tolist(), 0.0, *random.normal(size=20).tolist()]


def _difference(candidate: CompiledModel, schema: pa.Schema, predict: Predict, rows: list[Row]) -> str:
    """How the two differ; empty: in nothing."""
    try:
        candidate.predict(rows)
        expected = predict(_frame(rows, schema))
    except Exception:
        # One of them takes no null or unknown text: such requests are left to the pipeline, or fail in either.
        rows = [row for row in rows if None not in row and _UNKNOWN not in row]
        if not rows:
            return "there are no rows without a null or an unknown text, with which it fails"
        try:
            expected = predict(_frame(rows, schema))
        except Exception as error:
            return f"the pipeline fails on rows like those recorded: {type(error).__name__}"
    for start, size in _parts(len(rows)):
        some = rows[start : start + size]
        alone = expected if size == len(rows) else predict(_frame(some, schema))
        got = candidate.predict(some)
        different = int((got != alone).sum()) if got.shape == alone.shape else size
        if different:
            return f"{different} of {size} rows are predicted otherwise than by the pipeline"
    return ""


def _parts(count: int) -> list[tuple[int, int]]:
    """Starts and sizes: all rows, some alone, some batches."""
    alone = [(start, 1) for start in np.linspace(0, count - 1, _ALONE, dtype=int).tolist()]
    batches = [(max(0, count // 2 - size), size) for size in _SIZES if size <= count]
    return [(0, count), *alone, *batches]


def _frame(rows: Sequence[Row], schema: pa.Schema) -> pd.DataFrame:
    """The rows as a server shows them to the pipeline."""
    arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.table(arrays, schema=pa.schema(list(schema))).to_pandas()
