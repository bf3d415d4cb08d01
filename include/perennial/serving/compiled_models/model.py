"""A whole pipeline, compiled: from rows of plain values to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from perennial.serving.compiled_models import estimators, steps
from perennial.serving.compiled_models.estimators import Estimator
from perennial.serving.compiled_models.steps import Inputs, NotCompiled, Vocabulary


@dataclass(frozen=True)
class CompiledModel:
    """A model that needs no frame.

    Attributes:
        columns: Its inputs, in order.
        vocabularies: Of each column of text its place, and what its texts become.
        estimator: What predicts the matrix.
    """

    columns: tuple[str, ...]
    vocabularies: tuple[tuple[int, Vocabulary], ...]
    estimator: Estimator

    def predict(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """(n,) float64: what the pipeline predicts of the same rows.

        Args:
            rows: (n, columns) plain values; None is null.

        Raises:
            NotCompiled: of these rows, the pipeline has to predict at least one.
        """
        numbered = [list(row) for row in rows]
        for place, vocabulary in self.vocabularies:
            number, otherwise = vocabulary.numbers.get, vocabulary.otherwise
            for row in numbered:
                row[place] = number(row[place], otherwise)
                if row[place] is None:
                    raise NotCompiled("a text is unknown")
        return self.estimator.predict(np.array(numbered, dtype=np.float64))


def compiled(model: Any, task: str, schema: pa.Schema, order: str = "C") -> CompiledModel:
    """Compile a fitted pipeline.

    Args:
        model: The pipeline, or an estimator alone.
        task: See `estimators.compiled`.
        schema: The model's inputs, in its order.
        order: See `estimators.compiled`.

    Raises:
        NotCompiled: a step or a column is of a kind that is not known here.
    """
    inputs = Inputs(schema.names, frozenset(place for place, each in enumerate(schema) if _is_text(each)))
    source = steps.selected(range(len(schema)))
    *transformers, last = [each for _, each in model.steps] if isinstance(model, Pipeline) else [model]
    for each in transformers:
        if each not in (None, "passthrough"):
            source = steps.compiled(each, source, inputs)
    steps.numbers_only(source, inputs, last)
    estimator = estimators.compiled(last, task, source, len(schema), order)
    unused = inputs.texts - inputs.vocabularies.keys()
    # Text that no step looks at is any number.
    vocabularies = inputs.vocabularies | dict.fromkeys(unused, Vocabulary({}, 0.0))
    return CompiledModel(tuple(schema.names), tuple(sorted(vocabularies.items())), estimator)


def _is_text(column: pa.Field) -> bool:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return True
    if pa.types.is_integer(column.type) or column.type in (pa.float64(), pa.float32()):
        return False
    raise NotCompiled(f"column {column.name!r} is of type {column.type}")
