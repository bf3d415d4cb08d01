"""Why a version predicted what it did of one example: each feature's share of that prediction, by Shapley values.

By shap's permutation explainer: S. M. Lundberg and S.-I. Lee, "A Unified Approach to Interpreting Model Predictions",
NeurIPS 2017. It asks the version itself, so it works for any estimator. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial import discovery, lake
from perennial._common.heavy_imports import fast_imports
from perennial.errors import InvalidParams, NotEnoughData, PerennialError
from perennial.use_case.classes import MULTICLASS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from perennial.registry.model_loading import Predict
    from perennial.use_case import UseCase

#: Training rows that stand for "not knowing" a feature: the more, the steadier a contribution.
BACKGROUND_ROWS = 100
#: Rows that the version predicts for one explanation, at most.
PREDICTED_ROWS = 200_000
#: Orders in which features are made known, each forwards and backwards, at most.
PERMUTATIONS = 10
#: Share by which a prediction made again may differ from the stored one: libraries round in their own order.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Contribution:
    """What one feature added to a prediction.

    Attributes:
        feature: An input of the version.
        value: Its value when the prediction was made; None: it was null.
        contribution: By how much it moved the prediction away from the base, in the unit of the prediction.
    """

    feature: str
    value: Any
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """A prediction as the sum of a base and a contribution of each feature.

    Attributes:
        use_case: The use case's name.
        partition: Where the example is.
        key: The example's key.
        event_timestamp: The moment of the prediction, UTC.
        version: The version that is explained.
        unit: Of all numbers: `probability of 1`, `probability of CLASS` (the stored prediction's), or `predicted
            value`.
        prediction: What the version predicts of the stored features: `base` and all contributions together.
        base: The version's mean prediction of the background rows.
        contributions: Of every input, the largest first.
        stored: The stored prediction; of several classes the stored probability of that one.
        stored_version: The version that made it.
        background_rows: Rows of the version's training set that values of features were taken from.
        predicted_rows: Rows that the version predicted for this explanation.
    """

    use_case: str
    partition: str
    key: dict[str, Any]
    event_timestamp: Any
    version: int
    unit: str
    prediction: float
    base: float
    contributions: tuple[Contribution, ...]
    stored: float
    stored_version: int
    background_rows: int
    predicted_rows: int

    @property
    def remark(self) -> str:
        """That what is explained is not the stored prediction, and why; empty: it is."""
        if self.version != self.stored_version:
            return (
                f"v{self.stored_version} made the stored prediction, {self.stored:.4g}; this explains v{self.version}"
            )
        if abs(self.prediction - self.stored) > _ROUNDING * max(1.0, abs(self.stored)):
            return (
                f"the stored prediction is {self.stored:.4g}: v{self.version} predicts something else here and now, so"
                " this does not explain it; other releases of libraries are the likely reason"
            )
        return ""


def explain(
    use_case: str, key: Mapping[str, Any], *, partition: str | None = None, version: int | None = None
) -> Explanation:
    """Explain one stored prediction, from the features that it was made from. Needs the extra `explain`.

    A feature's contribution is its Shapley value: by how much the prediction changes on average when the feature's
    value becomes known, over many orders of all features; what is not known has the values of training rows.

    Args:
        use_case: Its name.
        key: The example's key: column -> value, of the column's type or as text.
        partition: The partition that the example is in; None: found by the key, which reads all partitions.
        version: The version to explain; None: the one that made the prediction.

    Raises:
        UnknownUseCase: there is no such use case.
        InvalidPartition: it has no such partition.
        InvalidParams: the key is not one of the use case's examples.
        NotEnoughData: there is no prediction of that example.
        PerennialError: shap is not installed, or the version or its training set cannot be loaded.
        ServiceUnavailable: the lake or MLflow cannot be reached.
    """
    _check_installed()
    declared = discovery.load(use_case)
    row = _stored(declared, key, partition)
    with fast_imports():
        from perennial.registry import model_loading
    (stored,) = row.to_pylist()
    number = stored["model_version"] if version is None else version
    predict: Predict = model_loading.load(declared, number)
    unit, said = "probability of 1" if declared.task == "binary" else "predicted value", stored["prediction"]
    if declared.task == MULTICLASS:
        unit, said, predict = _of_class(declared, stored, predict)
    inputs = model_loading.inputs(declared, number)
    if absent := [name for name in inputs if name not in row.column_names]:
        raise InvalidParams(
            f"Use case {use_case!r}: v{number} was fitted on {', '.join(absent)}, which the stored prediction lacks.",
            "Explain a version that was fitted on the same features, or leave the version out.",
        )
    values = _beside(row.select(inputs), _training_rows(declared, number).select(inputs))
    base, contributions, predicted = shapley_values(predict, values)
    explained = [
        Contribution(name, _plain(row[name][0].as_py()), float(each))
        for name, each in zip(inputs, contributions, strict=True)
    ]
    return Explanation(
        use_case=use_case,
        partition=stored[lake.PARTITION],
        key={name: row[name][0].as_py() for name in declared.examples.key},
        event_timestamp=stored["event_timestamp"],
        version=number,
        unit=unit,
        prediction=float(base + contributions.sum()),
        base=base,
        contributions=tuple(sorted(explained, key=lambda each: -abs(each.contribution))),
        stored=said,
        stored_version=stored["model_version"],
        background_rows=len(values) - 1,
        predicted_rows=predicted,
    )


def _of_class(use_case: UseCase, stored: Mapping[str, Any], predict: Predict) -> tuple[str, float, Predict]:
    """The unit, the stored value and the model of the probability that a stored prediction's class has."""
    name = stored["prediction"]
    if name not in use_case.classes:
        raise InvalidParams(
            f"Use case {use_case.name!r}: the stored prediction is {name!r}, which is no declared class any more.",
            f"Put it back in classes of include/use_cases/{use_case.name}/use_case.py to explain it.",
        )
    place = use_case.classes.index(name)
    import polars as pl

    from perennial.lake import prediction_columns

    # As the monitor takes it: without the probabilities of classes that were removed since.
    told = prediction_columns.gathered(use_case, pl.DataFrame([dict(stored)]))["prediction"].to_numpy()[0, place]
    return f"probability of {name}", float(told), lambda frame: predict(frame)[:, place]


def shapley_values(predict: Predict, values: pd.DataFrame) -> tuple[float, np.ndarray, int]:
    """The Shapley values of one row's features.

    Args:
        predict: The model, from features to (n,) predictions.
        values: (1 + n,) rows of the model's inputs, of any type and with nulls: the row that is explained, then the n
            background rows.

    Returns:
        The mean prediction of the background rows; (features,) contributions, which with that mean sum up to the
        row's prediction; and how many rows were predicted.
    """
    import numpy as np
    import pandas as pd
    import shap

    columns = {name: values[name].array for name in values.columns}
    predicted = 0

    def predict_rows(positions: np.ndarray) -> np.ndarray:
        nonlocal predicted
        predicted += len(positions)
        rows = positions.astype(int)
        return predict(pd.DataFrame({name: each.take(rows[:, n]) for n, (name, each) in enumerate(columns.items())}))

    # shap masks matrices of numbers. So it is given the row that each value is in, and the values are looked up: they
    # keep their type, whatever it is.
    at = np.repeat(np.arange(len(values))[:, None], len(columns), axis=1)
    one_order = 2 * len(columns) + 1
    orders = min(PERMUTATIONS, max(1, PREDICTED_ROWS // (one_order * (len(values) - 1))))
    random = np.random.get_state()  # shap sets the seed of the whole process.
    try:
        masker = shap.maskers.Independent(at[1:], max_samples=len(values))
        explainer = shap.explainers.Permutation(predict_rows, masker, seed=0)
        explained = explainer(at[:1], max_evals=orders * one_order, silent=True)
    finally:
        np.random.set_state(random)
    return float(np.ravel(explained.base_values)[0]), np.asarray(explained.values)[0], predicted


def _check_installed() -> None:
    from importlib.util import find_spec

    if find_spec("shap") is None:
        raise PerennialError(
            "Explanations need the package shap, which is not installed.",
            "Install Perennial with its extra: `pip install 'perennial[explain]'`; `make install` does.",
        )


def _stored(use_case: UseCase, key: Mapping[str, Any], partition: str | None) -> pa.Table:
    """The one row of the table `predictions` with that key, and the features that it was made from."""
    from pyiceberg.expressions import And

    names = use_case.examples.key
    if set(key) != set(names):
        raise InvalidParams(
            f"Use case {use_case.name!r}: the key of an example is {', '.join(names)}, not {', '.join(key)}.",
            f"Give {' '.join(f'--key {name}=...' for name in names)}.",
        )
    wanted = [use_case.partition(partition).key] if partition else None
    identifier = use_case.tables.predictions
    table = lake.table(identifier)
    if table is None:
        raise NotEnoughData(
            f"Use case {use_case.name!r} has no predictions in the lake yet.",
            f"Run its pipelines first, for instance with `perennial replay {use_case.name} --from {use_case.start}`.",
        )
    types = {name: table.schema().as_arrow().field(name).type for name in names}
    conditions = [lake.equals(name, _typed(use_case, name, key[name], types[name])) for name in names]
    where = And(*conditions) if len(conditions) > 1 else conditions[0]
    rows = lake.read(identifier, partitions=wanted, where=where)
    described = ", ".join(f"{name}={key[name]}" for name in names)
    if rows is None or not rows.num_rows:
        raise NotEnoughData(
            f"Use case {use_case.name!r} has no prediction of {described}"
            f" in {f'partition {partition}' if partition else 'any partition'}.",
            f"`perennial.predictions({use_case.name!r})` lists those there are; an example that is newer is predicted"
            " once its partition is scored.",
        )
    if rows.num_rows > 1:
        found = ", ".join(sorted(rows[lake.PARTITION].to_pylist()))
        raise InvalidParams(
            f"Use case {use_case.name!r} has {rows.num_rows} predictions of {described}, in partitions {found}.",
            "Say which partition is meant.",
        )
    return rows


def _typed(use_case: UseCase, name: str, value: Any, type_: pa.DataType) -> Any:
    """A value of a key as the lake compares it."""
    import pyarrow as pa

    try:
        return pa.scalar(str(value)).cast(type_).as_py()
    except pa.ArrowInvalid as error:
        raise InvalidParams(
            f"Use case {use_case.name!r}: {value!r} is no value of {name}, which is of type {type_}.",
            "Correct the key.",
        ) from error


def _training_rows(use_case: UseCase, version: int) -> pa.Table:
    """The rows that a version was fitted on."""
    from perennial.gate import challenger
    from perennial.registry import tracking

    data = challenger.training_set(use_case, tracking.run_of(use_case, version))
    try:
        return data.fit_table
    except FileNotFoundError as error:
        raise PerennialError(
            f"Use case {use_case.name!r}: the training set {data.path} of v{version} is gone.",
            "Restore it from a backup; an explanation compares with rows that the version was fitted on.",
        ) from error


def _beside(row: pa.Table, training: pa.Table) -> pd.DataFrame:
    """The row and, evenly over time, a sample of the training rows, in one frame: so both have the same types."""
    import numpy as np
    import pyarrow as pa

    most = max(1, min(BACKGROUND_ROWS, PREDICTED_ROWS // (2 * row.num_columns + 1), training.num_rows))
    places = np.unique(np.linspace(0, training.num_rows - 1, most).astype(int))
    return pa.concat_tables([row, training.take(places)], promote_options="permissive").to_pandas()


def _plain(value: Any) -> Any:
    """A value for people and JSON: nan is as null as None."""
    return None if value != value else value
