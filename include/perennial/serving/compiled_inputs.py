"""Compiles a version's model when it is loaded, and makes its inputs of requests and online features."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial import lake
from perennial.feature_store.frozen.reading import OnlineValues
from perennial.registry.model_loading import Predict
from perennial.serving.compiled_models.checking import checked
from perennial.serving.compiled_models.model import CompiledModel
from perennial.serving.compiled_models.steps import NotCompiled
from perennial.serving.model_inputs import PlainInputs
from perennial.serving.request_schema import RequestSchema
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: Rows of batch scoring with which a compiled model is checked.
_RECORDED = 2000


@dataclass(frozen=True)
class CompiledVersion:
    """A version whose model is compiled.

    Attributes:
        model: Predicts rows of plain values.
        schema: The model's inputs, in its order.
        requested: Those of them that the caller sends.
    """

    model: CompiledModel
    schema: pa.Schema
    requested: frozenset[str]

    def inputs(self, examples: Sequence[Mapping[str, Any]], served: OnlineValues) -> PlainInputs:
        """What the model sees.

        Args:
            examples: n examples, as `RequestSchema.check` returned them.
            served: Their online features.
        """
        sent = [name for name in self.schema.names if name in self.requested]
        place = {name: number for number, name in enumerate([*sent, *served.names])}
        places = [place[name] for name in self.schema.names]
        values = []
        for example, features in zip(examples, served.rows, strict=True):
            known = [example[name] for name in sent]
            known += features
            values.append([known[number] for number in places])
        used = self.model.columns
        missing = [{name: row[name] for name in used if name in row} if row else row for row in served.missing]
        return PlainInputs(self.schema, values, missing, served.event_timestamps)


def schema(request: RequestSchema, retrieved: pa.Schema, columns: Sequence[str]) -> pa.Schema | None:
    """The types of a model's inputs in a server; None: one of them is not known, or is not always sent.

    Args:
        request: The fields of a request.
        retrieved: What a retrieval for batch scoring returns.
        columns: The inputs.
    """
    sent = {field.name: field for field in request.fields}
    fields = []
    for name in columns:
        if name in sent:
            if not sent[name].required or sent[name].type == pa.float32():  # A number of a request is not rounded.
                return None
            fields.append(pa.field(name, sent[name].type))
        elif name in retrieved.names and not pa.types.is_null(retrieved.field(name).type):
            fields.append(pa.field(name, retrieved.field(name).type))
        else:
            return None
    return pa.schema(fields)


def compile_version(
    use_case: UseCase,
    number: int,
    request: RequestSchema,
    estimator: Any,
    predict: Predict,
    inputs: pa.Schema | None,
    example: pd.DataFrame | None,
) -> CompiledVersion | None:
    """Compile a version's model; None: it is left to the pipeline, and the log says why.

    Args:
        use_case: Whose version.
        number: The version.
        request: The fields of a request.
        estimator: The fitted pipeline.
        predict: What it predicts of a frame.
        inputs: What `schema` returned.
        example: Its stored input example.
    """
    try:
        if inputs is None:
            raise NotCompiled("the types of its inputs are not all known")
        model = checked(estimator, use_case.task, inputs, predict, _recorded(use_case, inputs, example))
    except NotCompiled as reason:
        log.info("%s: v%d is predicted by its pipeline: %s.", use_case.name, number, reason)
        return None
    except Exception:  # Whatever it is, the pipeline can predict.
        log.warning("%s: v%d is predicted by its pipeline; compiling it failed.", use_case.name, number, exc_info=True)
        return None
    names = frozenset(field.name for field in request.fields)
    return CompiledVersion(model, inputs, names & frozenset(inputs.names))


def _recorded(use_case: UseCase, inputs: pa.Schema, example: pd.DataFrame | None) -> pa.Table | None:
    """Rows that batch scoring predicted last, and the example that training stored."""
    tables = []
    if example is not None and set(inputs.names) <= set(example.columns):
        tables.append(pa.Table.from_pandas(example[inputs.names], preserve_index=False))
    scored = lake.partitions(use_case.tables.predictions)
    if scored:
        table = lake.table(use_case.tables.predictions)
        if table is not None and set(inputs.names) <= set(table.schema().as_arrow().names):
            rows = lake.read(use_case.tables.predictions, partitions=scored[-1:], columns=inputs.names)
            if rows is not None and rows.num_rows:
                tables.append(rows.take(np.linspace(0, rows.num_rows - 1, min(rows.num_rows, _RECORDED), dtype=int)))
    cast = [each.select(inputs.names).cast(inputs) for each in tables]
    return pa.concat_tables(cast) if cast else None
