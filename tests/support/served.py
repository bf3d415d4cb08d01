"""Versions that answer without any store: their features are what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from perennial import discovery
from perennial.feature_store.frozen.reading import SdkReader
from perennial.registry.ledger import Entry
from perennial.serving import features
from perennial.serving.champions import Champions
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs
from perennial.serving.request_schema import RequestField, RequestSchema
from perennial.use_case import ServingPolicy

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
METER = {"site": "s", "meter": "m", "hour_sin": 0.0, "hour_cos": 1.0}
_FIELDS = (
    RequestField("site", pa.string(), required=True, nullable=False),
    RequestField("meter", pa.string(), required=True, nullable=False),
    RequestField("hour_sin", pa.float64(), required=True, nullable=True),
    RequestField("hour_cos", pa.float64(), required=True, nullable=True),
    RequestField("read_at", pa.timestamp("us", tz="UTC"), required=False, nullable=False),
)


def entry(number: int) -> Entry:
    """The ledger's entry by which a version serves."""
    return Entry(f"gate:{number}", "2024-01-03", "promoted", number, None, "run", NOON, "gate", "better", {}, NOON)


def version(
    number: int = 1,
    *,
    predict: Callable[[pd.DataFrame], np.ndarray] | None = None,
    on_missing: str = "answer",
    definitions: str | None = None,
) -> LoadedVersion:
    """A version of `energy` that predicts its own number, unless it is given another function."""
    use_case = discovery.load("energy").model_copy(update={"serving": ServingPolicy(on_missing=on_missing)})
    return LoadedVersion(
        use_case=use_case,
        entry=entry(number),
        definitions=definitions,
        request=RequestSchema("energy", _FIELDS),
        columns=["hour_sin", "hour_cos", "meter_last"],
        retrieved=pa.schema([("meter_last", pa.float64())]),
        reader=SdkReader("energy"),
        predict=predict or (lambda frame: np.full(len(frame), float(number))),
    )


class Loaded(Champions):
    """Versions that a test names."""

    def __init__(self, *versions: LoadedVersion) -> None:
        super().__init__([each.use_case for each in versions])
        for each in versions:
            self._served[each.use_case.name].loaded = each
            self._served[each.use_case.name].ledger_version = each.number


def serve_features(patch: pytest.MonkeyPatch, missing: str | None = None) -> None:
    """Every entity's `meter_last` is 1.5, or missing for this reason."""

    def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
        count = len(examples)
        table = version.request.table(examples).select(["hour_sin", "hour_cos"])
        values = pa.array([None if missing else 1.5] * count, pa.float64())
        return ModelInputs(
            table.append_column("meter_last", values),
            [{"meter_last": missing} if missing else {}] * count,
            [{"energy_meter_history": None if missing else NOON}] * count,
        )

    patch.setattr(features, "read", read)
