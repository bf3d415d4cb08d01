"""The version of a use case that serves, by the ledger, loaded with all that answering a request needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Lock

import pandas as pd
import pyarrow as pa

from perennial import lake
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, UnknownVersion
from perennial.evaluation import recorded_intervals, thresholds
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.feature_store import repository
from perennial.feature_store.frozen.reading import OnlineReader, reader
from perennial.registry import ledger, model_loading
from perennial.registry.model_loading import Predict
from perennial.serving import compiled_inputs
from perennial.serving.compiled_inputs import CompiledVersion
from perennial.serving.request_schema import RequestField, RequestSchema
from perennial.serving.row_independence import is_row_independent
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: Columns of the examples that no request has: what is asked, and what nobody knows yet.
_NOT_IN_REQUESTS = ("event_timestamp", "label", "label_timestamp")


@dataclass(frozen=True)
class LoadedVersion:
    """A version that can answer requests.

    Attributes:
        use_case: The use case.
        entry: The entry of the ledger by which it serves.
        definitions: The digest of the feature definitions when it was loaded.
        request: The fields of a request.
        columns: The model's inputs, in its order.
        retrieved: What a retrieval for batch scoring returns: its columns and their types.
        predict: See `model_loading.load`.
        reader: Reads the features that the caller does not send.
        compiled: Predicts the same bits faster, from plain values; None: the pipeline predicts.
        predicts_jointly: Whether rows are predicted alike alone and among those of other requests.
        reads_jointly: Whether features are, too: an on-demand view may be written to look at more than one row.
        example: The rows that training stored with it as an example of its inputs; None: it has none.
        threshold: The probability from which on it acts; None: the use case declares no `value`, or is a regression.
        margin: Of its prediction intervals; None: the use case declares none, or the version was evaluated before.
    """

    use_case: UseCase
    entry: ledger.Entry
    definitions: str | None
    request: RequestSchema
    columns: list[str]
    retrieved: pa.Schema
    predict: Predict
    reader: OnlineReader
    compiled: CompiledVersion | None = None
    predicts_jointly: bool = False
    reads_jointly: bool = False
    example: pd.DataFrame | None = None
    threshold: float | None = None
    margin: RecordedMargin | None = None

    @property
    def number(self) -> int:
        """The version in the registry."""
        return self.entry.model_version


_current: dict[str, LoadedVersion] = {}
_loading = Lock()


def current(use_case: UseCase) -> LoadedVersion:
    """The version that serves now, loaded once a process and again when the ledger or the feature definitions change.

    Args:
        use_case: Whose champion, by processing time.

    Raises:
        UnknownVersion: no version is in production yet.
        BadFeatures: nothing was computed yet.
        ServiceUnavailable: the lake or MLflow does not answer.
        ChangedArtifact: the version's files are not those that training wrote.
    """
    entry = ledger.champion(use_case)
    if entry is None:
        raise UnknownVersion(
            f"Use case {use_case.name!r} has no champion in production yet.",
            f"Train one: `perennial trigger {use_case.name} training --wait`.",
        )
    definitions = repository.applied_digest()
    with _loading:
        loaded = _current.get(use_case.name)
        if loaded is not None:
            loaded = _current[use_case.name] = with_recorded_margin(loaded)
        if loaded is None or (loaded.use_case, loaded.entry, loaded.definitions) != (use_case, entry, definitions):
            loaded = _current[use_case.name] = load(use_case, entry, definitions)
        return loaded


def with_recorded_margin(loaded: LoadedVersion) -> LoadedVersion:
    """A loaded version with the margin of its intervals that the ledger names now: a decision may have renewed it.

    Args:
        loaded: The version.

    Raises:
        ServiceUnavailable: the lake does not answer.
    """
    if loaded.use_case.interval is None:
        return loaded
    margin = recorded_intervals.recorded(loaded.use_case, ledger.entries(loaded.use_case), loaded.number)
    return loaded if margin == loaded.margin else replace(loaded, margin=margin)


def load(use_case: UseCase, entry: ledger.Entry, definitions: str | None) -> LoadedVersion:
    """Load the version that an entry of the ledger names.

    Args:
        use_case: Whose version.
        entry: The entry.
        definitions: The digest of the feature definitions in the registry.

    Raises:
        BadFeatures: nothing was computed yet.
        ServiceUnavailable: the lake or MLflow does not answer.
        ChangedArtifact: the version's files are not those that training wrote.
    """
    examples = _no_examples(use_case)
    request = RequestSchema(use_case.name, tuple(_fields(use_case, examples.schema)))
    # A retrieval of no rows says what the model's inputs look like in batch scoring.
    retrieved = repository.historical_features(use_case.feature_service, examples).schema
    with model_loading.downloaded(use_case, entry.model_version) as folder:
        columns = model_loading.inputs_from(folder)
        estimator = model_loading.estimator_from(use_case, entry.model_version, folder)
        example = model_loading.example_from(folder)
    predict = model_loading.predict_from(use_case, entry.model_version, estimator, columns)
    is_joint = is_row_independent(predict, example)
    if not is_joint:
        log.info(
            "%s: v%d predicts requests one by one: it rounds with the number of rows, or has no input example.",
            use_case.name,
            entry.model_version,
        )
    return LoadedVersion(
        use_case,
        entry,
        definitions,
        request,
        columns,
        retrieved,
        predict,
        reader(use_case.feature_service),
        predicts_jointly=is_joint,
        compiled=compiled_inputs.compile_version(
            use_case,
            entry.model_version,
            request,
            estimator,
            predict,
            compiled_inputs.schema(request, retrieved, columns),
            example,
        ),
        reads_jointly=not repository.on_demand_views(use_case.feature_service),
        example=example,
        threshold=thresholds.recorded(use_case, ledger.entries(use_case), entry.model_version),
        margin=recorded_intervals.recorded(use_case, ledger.entries(use_case), entry.model_version),
    )


def _no_examples(use_case: UseCase) -> pa.Table:
    """The table of examples without rows, as scoring reads it."""
    table = lake.table(use_case.tables.examples)
    if table is None:
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no examples, whose types are those of a request.",
            f"Run {dag_id(use_case.name, FEATURES)} first.",
        )
    return lake.canonical(table.schema().as_arrow().empty_table())


def _fields(use_case: UseCase, examples: pa.Schema) -> Iterator[RequestField]:
    """The fields of a request, the required ones first."""
    declared = use_case.examples
    entities = repository.join_keys(use_case.feature_service)
    inputs = [*entities, *declared.request_features, *repository.request_columns(use_case.feature_service)]
    required = [name for name in dict.fromkeys(inputs) if name not in _NOT_IN_REQUESTS]
    keys = {*declared.key, *entities}
    for name in dict.fromkeys([*required, *declared.key]):
        if name not in examples.names:
            raise BadFeatures(
                f"Use case {use_case.name!r}: {name!r} is needed to predict, and its examples have no such column.",
                f"Return it from `examples` in include/use_cases/{use_case.name}/transforms.py.",
            )
        field = RequestField(name, examples.field(name).type, name in required, nullable=name not in keys)
        _ = field.annotation  # A type that cannot be sent is reported here, not at the first request.
        yield field
