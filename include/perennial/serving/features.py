"""The features of a request's examples from the online store, in the columns that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from perennial.feature_store.frozen.reading import OnlineValues
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs


def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
    """Read the newest features of the examples' entities.

    Args:
        version: The version that predicts.
        examples: n examples, as `RequestSchema.check` returned them.
        at: The moment that ages are counted to, UTC; None: now.

    Raises:
        ServiceUnavailable: the online store does not answer.
    """
    needed = [field.name for field in version.request.fields if field.required]
    served = version.reader.read([{name: example[name] for name in needed} for example in examples], at)
    if version.compiled is not None:
        return version.compiled.inputs(examples, served)
    place = {name: number for number, name in enumerate(served.names)}
    requested = version.request.table(examples)
    arrays = {
        name: requested[name] if name in requested.column_names else _values(version, name, served, place[name])
        for name in version.columns
        if name in requested.column_names or name in place
    }
    used = frozenset(version.columns)
    return ModelInputs(
        pa.table(arrays),
        [{name: why for name, why in missing.items() if name in used} for missing in served.missing],
        served.event_timestamps,
        frozenset(name for name in arrays if name not in requested.column_names and _type(version, name) is None),
    )


def _values(version: LoadedVersion, name: str, served: OnlineValues, place: int) -> pa.Array:
    """A feature in the type that a retrieval has."""
    return pa.array([row[place] for row in served.rows], _type(version, name))


def _type(version: LoadedVersion, name: str) -> pa.DataType | None:
    """A feature's type in a retrieval; None: of an on-demand feature, it is not known before there are values."""
    kind = version.retrieved.field(name).type if name in version.retrieved.names else None
    return None if kind is None or pa.types.is_null(kind) else kind
