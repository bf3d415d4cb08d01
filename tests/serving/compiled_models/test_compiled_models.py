"""Compiled models predict the pipeline's bits, for pipelines of every known shape, and leave all others alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from perennial.registry.model_loading import Predict
from perennial.serving.compiled_models.checking import checked
from perennial.serving.compiled_models.model import CompiledModel, compiled
from perennial.serving.compiled_models.steps import NotCompiled

SCHEMA = pa.schema(
    [("carrier", pa.string()), ("hour", pa.int64()), ("delay", pa.float64()), ("place", pa.string()),
     ("wind", pa.float64()), ("seats", pa.int64())]
)  # fmt: skip
TEXTS = ["carrier", "place"]


def rows(count: int, seed: int = 0) -> pa.Table:
    """Examples with nulls in every column."""
    random = np.random.default_rng(seed)
    columns = {
        "carrier": [["AA", "UA", "DL", "ü", ""][n] for n in random.integers(0, 5, count)],
        "hour": random.integers(0, 24, count).tolist(),
        "delay": random.normal(0, 30, count).tolist(),
        "place": [f"p{n}" for n in random.geometric(0.2, count)],
        "wind": random.choice([0.0, 5.0, 10.0, 1e9], count).tolist(),
        "seats": random.integers(-(2**60), 2**60, count).tolist(),
    }
    for values in columns.values():
        for place in random.integers(0, count, count // 8):
            values[place] = None
    return pa.table(columns, schema=SCHEMA)


def outcome(table: pa.Table, task: str) -> np.ndarray:
    frame = table.to_pandas()
    score = frame["delay"].fillna(7) + 3 * frame["hour"].fillna(0) + 20 * (frame["carrier"] == "AA")
    return (score > score.median()).astype(int).to_numpy() if task == "binary" else score.to_numpy()


def predictor(model: Any, task: str) -> Predict:
    return (lambda frame: model.predict_proba(frame)[:, 1]) if task == "binary" else model.predict


def ordinal(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, **options)


def flights() -> Any:
    """As in the flights use case, and in what `perennial new` writes for much data."""
    encode = make_column_transformer(
        (ordinal(encoded_missing_value=-1), TEXTS), remainder="passthrough", verbose_feature_names_out=False
    )
    return make_pipeline(encode, HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=20, early_stopping=False))


def scaffolded(estimator: Any) -> Any:
    """As `perennial new` writes for little data."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False)
    encode = make_column_transformer((words, TEXTS), remainder=numbers, verbose_feature_names_out=False)
    return make_pipeline(encode, estimator)


def fitted(model: Any, task: str, count: int = 400) -> tuple[Any, Predict]:
    table = rows(count)
    model.fit(table.to_pandas(), outcome(table, task))
    return model, predictor(model, task)


@pytest.mark.parametrize(
    ("make", "task"),
    [
        (flights, "binary"),
        (lambda: scaffolded(LogisticRegression(max_iter=1000)), "binary"),
        (lambda: scaffolded(Ridge()), "regression"),
        (lambda: scaffolded(LinearRegression()), "regression"),
        (lambda: scaffolded(RandomForestClassifier(20, max_depth=6)), "binary"),
        (lambda: scaffolded(RandomForestRegressor(20)), "regression"),
        (lambda: scaffolded(HistGradientBoostingRegressor(max_iter=20)), "regression"),
    ],
    ids=["flights", "logistic", "ridge", "linear", "random-forest", "random-forest-regressor", "boosted-regressor"],
)
def test_known_shapes_predict_the_same_bits(make: Callable[[], Any], task: str) -> None:
    model, predict = fitted(make(), task)
    made = checked(model, task, SCHEMA, predict, rows(1000, seed=1))
    for count in (1, 7, 64, 500):
        table = rows(count, seed=count)
        assert made.predict(plain(table)).tobytes() == predict(table.to_pandas()).tobytes()


def plain(table: pa.Table) -> list[list[Any]]:
    return [list(row.values()) for row in table.to_pylist()]


#: Transformers of the numbers, each made anew.
NUMBERS: dict[str, Callable[[], Any]] = {
    "passthrough": lambda: "passthrough",
    "imputed": lambda: SimpleImputer(),
    "median": lambda: SimpleImputer(strategy="median"),
    "constant": lambda: SimpleImputer(strategy="constant", fill_value=-1.0, add_indicator=True),
    "frequent": lambda: SimpleImputer(strategy="most_frequent", keep_empty_features=True),
    "scaled": lambda: make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)),
    "same": lambda: FunctionTransformer(),
    "centred": lambda: make_pipeline(SimpleImputer(), StandardScaler(with_std=False)),
}
WORDS: dict[str, Callable[[], Any]] = {
    "dropped": lambda: "drop",
    "ordinal": lambda: ordinal(),
    "ordinal-nan": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
    "ordinal-rare": lambda: ordinal(min_frequency=20),
    "one-hot": lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one-hot-rare": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=4, sparse_output=False),
}
BOOSTED: dict[str, tuple[str, Callable[[int], Any]]] = {
    "classifier": ("binary", lambda seed: HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=9)),
    "regressor": ("regression", lambda seed: HistGradientBoostingRegressor(max_iter=12, max_depth=3)),
    "quantile": ("regression", lambda seed: HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=5)),
    "stump": ("binary", lambda seed: HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=2)),
}


@given(
    words=st.sampled_from(sorted(WORDS)),
    numbers=st.sampled_from(sorted(NUMBERS)),
    estimator=st.sampled_from(sorted(BOOSTED)),
    count=st.integers(30, 300),
    seed=st.integers(0, 2**16),
    order=st.booleans(),
)
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_pipelines_of_trees_are_equal_to_the_bit(
    words: str, numbers: str, estimator: str, count: int, seed: int, order: bool
) -> None:
    task, make = BOOSTED[estimator]
    parts = [(WORDS[words](), TEXTS), (NUMBERS[numbers](), ["hour", "delay", "wind", "seats"])]
    model = make_pipeline(make_column_transformer(*(parts if order else parts[::-1])), make(seed))
    table = rows(count, seed)
    model.fit(table.to_pandas(), outcome(table, task))
    predict = predictor(model, task)
    made = checked(model, task, SCHEMA, predict, None)
    for asked in (rows(200, seed + 1), rows(1, seed + 2)):
        assert made.predict(plain(asked)).tobytes() == predict(asked.to_pandas()).tobytes()


def small_frames() -> Any:
    special = [0.0, -0.0, np.inf, -np.inf, 5e-324, 1e308, -1e308, np.nan]
    return st.lists(st.lists(st.sampled_from(special) | st.floats(width=32), min_size=3, max_size=3), min_size=1)


@given(asked=small_frames())
@hypothesis_settings(max_examples=60, deadline=None)
def test_trees_take_every_float(asked: list[list[float]]) -> None:
    predict, made = trees_of_floats()
    frame = pd.DataFrame(asked, columns=["a", "b", "c"])
    assert made.predict(asked).tobytes() == predict(frame).tobytes()


_kept: list[tuple[Predict, CompiledModel]] = []


def trees_of_floats() -> tuple[Predict, CompiledModel]:
    """Boosted trees on columns with infinities and NaN, fitted once."""
    if not _kept:
        random = np.random.default_rng(3)
        values = random.choice([0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 3.25, 1e300], (300, 3))
        frame = pd.DataFrame(values, columns=["a", "b", "c"])
        label = (np.isnan(values[:, 0]) | (values[:, 1] > 0)).astype(int)
        model = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3).fit(frame, label)
        schema = pa.schema([(name, pa.float64()) for name in frame])
        _kept.append((predictor(model, "binary"), compiled(model, "binary", schema)))
    return _kept[0]


@pytest.mark.parametrize(
    ("model", "task", "why"),
    [
        (GradientBoostingClassifier(), "binary", "GradientBoostingClassifier is not compiled"),
        (RandomForestClassifier(5, n_jobs=2), "binary", "adds its trees in any order"),
        (HistGradientBoostingRegressor(loss="poisson", max_iter=3), "regression", "'poisson'"),
        (make_pipeline(FunctionTransformer(np.abs), HistGradientBoostingClassifier()), "binary", "with a function"),
    ],
    ids=["estimator", "parallel", "loss", "function"],
)
def test_other_shapes_are_left_to_the_pipeline(model: Any, task: str, why: str) -> None:
    frame = rows(200).select(["hour", "delay"]).to_pandas().fillna(0)
    label = (frame["delay"] > 0).astype(int)
    model.fit(frame, label)
    schema = pa.schema([("hour", pa.float64()), ("delay", pa.float64())])
    with pytest.raises(NotCompiled, match=why):
        compiled(model, task, schema)


def test_a_column_of_another_type_is_left_to_the_pipeline() -> None:
    with pytest.raises(NotCompiled, match="'read_at' is of type timestamp"):
        compiled(LinearRegression(), "regression", pa.schema([("read_at", pa.timestamp("us"))]))


def test_text_that_no_encoder_takes_is_left_to_the_pipeline() -> None:
    with pytest.raises(NotCompiled, match="LinearRegression is given text"):
        compiled(LinearRegression(), "regression", pa.schema([("place", pa.string())]))


def test_a_model_that_differs_in_one_bit_is_not_used() -> None:
    model, predict = fitted(flights(), "binary")

    def otherwise(frame: pd.DataFrame) -> np.ndarray:
        predicted = predict(frame)
        return np.where((frame["carrier"] == "AA") & (frame["hour"] == 3), np.nextafter(predicted, 1), predicted)

    assert checked(model, "binary", SCHEMA, predict, rows(500))
    with pytest.raises(NotCompiled, match="rows are predicted otherwise"):
        checked(model, "binary", SCHEMA, otherwise, rows(500))


def test_a_text_that_the_encoder_refuses_is_left_to_it() -> None:
    model = make_pipeline(
        make_column_transformer((OrdinalEncoder(), ["carrier"]), ("passthrough", ["hour"])),
        HistGradientBoostingClassifier(max_iter=3),
    )
    table = rows(200).select(["carrier", "hour"])
    model.fit(table.to_pandas().dropna(), table.to_pandas().dropna()["hour"] > 12)
    made = compiled(model, "binary", table.schema)
    assert made.predict([["AA", 1]]).shape == (1,)
    for unknown in ("nobody", None):
        with pytest.raises(NotCompiled, match="a text is unknown"):
            made.predict([["AA", 1], [unknown, 1]])


def test_a_null_is_left_to_a_linear_model() -> None:
    model, _ = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), None
    made = compiled(model, "regression", pa.schema([("a", pa.float64())]))
    for value in (None, float("inf")):
        with pytest.raises(NotCompiled, match="missing or infinite"):
            made.predict([[value]])
