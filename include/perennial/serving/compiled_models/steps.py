"""scikit-learn's transformers as operations on a matrix of floats.

What a transformer does with text is not written again: it is asked, once, about each category that it knows, about null
and about a text that it does not know.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

#: A text that no encoder has seen.
_UNKNOWN = "\x00 unknown to every encoder"


class NotCompiled(Exception):
    """A pipeline, or a row, is left to scikit-learn; the message says why."""


@dataclass(frozen=True)
class Vocabulary:
    """The numbers of a column's texts.

    Attributes:
        numbers: Text, or None -> number; None: the encoder refuses it.
        otherwise: The number of any other text, likewise.
    """

    numbers: dict[Any, float | None]
    otherwise: float | None


@dataclass(frozen=True)
class Source:
    """(n, width) floats that are computed from the raw matrix: a column an input of the model, text as numbers.

    Attributes:
        width: The number of columns.
        compute: From the raw matrix.
        raw: Which columns of the raw matrix these are; None: they are computed.
    """

    width: int
    compute: Callable[[np.ndarray], np.ndarray]
    raw: tuple[int, ...] | None = None


@dataclass
class Inputs:
    """The model's inputs while its steps are compiled.

    Attributes:
        names: The columns.
        texts: Which of them hold text.
        vocabularies: Their numbers, as the encoders say.
    """

    names: Sequence[str]
    texts: frozenset[int]
    vocabularies: dict[int, Vocabulary] = field(default_factory=dict)


def selected(columns: Sequence[int]) -> Source:
    """Columns of the raw matrix."""
    places = np.array(columns, dtype=np.intp)
    return Source(len(columns), lambda matrix: matrix[:, places], tuple(columns))


def compiled(step: Any, source: Source, inputs: Inputs) -> Source:
    """What a fitted transformer makes of a source.

    Args:
        step: The transformer.
        source: What it is given.
        inputs: The model's inputs; encoders add the vocabularies of their columns.

    Raises:
        NotCompiled: it is of a kind, or has options, that are not known here.
    """
    for kind, compile_step in _STEPS.items():
        if type(step) is kind:
            return compile_step(step, source, inputs)
    raise NotCompiled(f"{type(step).__name__} is not compiled")


def numbers_only(source: Source, inputs: Inputs, step: Any) -> None:
    """Refuse text that no encoder has made numbers of."""
    if source.raw is not None and any(column in inputs.texts - inputs.vocabularies.keys() for column in source.raw):
        raise NotCompiled(f"{type(step).__name__} is given text")


def _pipeline(step: Pipeline, source: Source, inputs: Inputs) -> Source:
    for _, each in step.steps:
        if each not in (None, "passthrough"):
            source = compiled(each, source, inputs)
    return source


def _columns(step: ColumnTransformer, source: Source, inputs: Inputs) -> Source:
    if source.raw is None or getattr(step, "sparse_output_", False):
        raise NotCompiled("a ColumnTransformer of computed columns, or with sparse output, is not compiled")
    names = [inputs.names[column] for column in source.raw]
    if list(getattr(step, "feature_names_in_", [])) != names:
        raise NotCompiled("the ColumnTransformer was fitted on other columns")
    parts = []
    for _, transformer, columns in step.transformers_:
        places = _places(columns, names)
        if (isinstance(transformer, str) and transformer == "drop") or not places:
            continue
        part = selected([source.raw[place] for place in places])
        is_passed = isinstance(transformer, str) and transformer == "passthrough"
        parts.append(part if is_passed else compiled(transformer, part, inputs))
    return _side_by_side(parts)


def _places(columns: Any, names: Sequence[str]) -> list[int]:
    if not isinstance(columns, (list, tuple, np.ndarray, pd.Index)):
        raise NotCompiled(f"columns chosen by {type(columns).__name__} are not compiled")
    places = []
    for column in columns:
        if isinstance(column, (bool, np.bool_)):
            raise NotCompiled("columns chosen by a mask are not compiled")
        places.append(names.index(column) if isinstance(column, str) else int(column))
    return places


def _side_by_side(parts: Sequence[Source]) -> Source:
    if not parts:
        raise NotCompiled("no column is left")
    if all(part.raw is not None for part in parts):
        return selected([column for part in parts for column in part.raw or ()])
    return Source(sum(part.width for part in parts), lambda matrix: np.hstack([part.compute(matrix) for part in parts]))


def _same(step: FunctionTransformer, source: Source, inputs: Inputs) -> Source:
    if step.func is not None:
        raise NotCompiled("a FunctionTransformer with a function is not compiled")
    return source


def _imputer(step: SimpleImputer, source: Source, inputs: Inputs) -> Source:
    numbers_only(source, inputs, step)
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise NotCompiled("an imputer of other values than NaN is not compiled")
    statistics = np.asarray(step.statistics_, dtype=float)
    kept = np.flatnonzero(~np.isnan(statistics)) if not step.keep_empty_features else np.arange(len(statistics))
    fill = statistics[kept]
    indicated = step.indicator_.features_ if step.indicator_ is not None else np.array([], dtype=np.intp)
    may_be_new = step.indicator_ is None or not step.indicator_.error_on_new

    def compute(matrix: np.ndarray) -> np.ndarray:
        given = source.compute(matrix)
        _refuse_infinite(given)
        is_missing = np.isnan(given)
        if not may_be_new and np.setdiff1d(np.flatnonzero(is_missing.any(axis=0)), indicated).size:
            raise NotCompiled("a column has a null that had none in training")
        filled = np.where(is_missing[:, kept], fill, given[:, kept])
        return np.hstack([filled, is_missing[:, indicated].astype(float)]) if len(indicated) else filled

    return Source(len(kept) + len(indicated), compute)


def _scaler(step: StandardScaler, source: Source, inputs: Inputs) -> Source:
    numbers_only(source, inputs, step)
    mean = step.mean_ if step.with_mean else None
    scale = step.scale_ if step.with_std else None

    def compute(matrix: np.ndarray) -> np.ndarray:
        scaled = source.compute(matrix)
        _refuse_infinite(scaled)
        if mean is not None:
            scaled = scaled - mean
        return scaled / scale if scale is not None else scaled

    return Source(source.width, compute)


def _refuse_infinite(matrix: np.ndarray) -> None:
    if np.isinf(matrix).any():
        raise NotCompiled("a value is infinite")


def _ordinal(step: OrdinalEncoder, source: Source, inputs: Inputs) -> Source:
    for place, column, asked, answers in _asked(step, source, inputs):
        numbers = {text: float(answer[place]) for text, answer in zip(asked, answers, strict=True)}
        inputs.vocabularies[column] = _vocabulary(step, numbers)
    return replace(source)


def _one_hot(step: OneHotEncoder, source: Source, inputs: Inputs) -> Source:
    if step.sparse_output:
        raise NotCompiled("a OneHotEncoder with sparse output is not compiled")
    widths = _widths(step)
    ends = np.cumsum(widths)
    tables: list[tuple[int, np.ndarray]] = []
    for place, column, asked, answers in _asked(step, source, inputs):
        tables.append((column, answers[:, ends[place] - widths[place] : ends[place]]))
        inputs.vocabularies[column] = _vocabulary(step, {text: float(row) for row, text in enumerate(asked)})
    return Source(
        int(ends[-1]),
        lambda matrix: np.hstack([table[matrix[:, column].astype(np.intp)] for column, table in tables]),
    )


def _asked(step: Any, source: Source, inputs: Inputs) -> list[tuple[int, int, list[Any], np.ndarray]]:
    """Of each column of an encoder its place, its raw column, texts, and what the encoder makes of each of them."""
    if source.raw is None or any(column not in inputs.texts for column in source.raw):
        raise NotCompiled(f"a {type(step).__name__} of other columns than text is not compiled")
    if any(column in inputs.vocabularies for column in source.raw):
        raise NotCompiled("a column that is encoded twice is not compiled")
    categories = [[each for each in known if isinstance(each, str)] for known in step.categories_]
    if not all(categories):
        raise NotCompiled("a column without any text is not compiled")
    names = [inputs.names[column] for column in source.raw]
    found = []
    for place, column in enumerate(source.raw):
        asked: list[Any] = [*categories[place]]
        for other in (None, _UNKNOWN):
            if _answers(step, names, [[*(each[0] for each in categories)]], place, [other]) is not None:
                asked.append(other)
        answers = _answers(step, names, [[each[0] for each in categories]], place, asked)
        if answers is None:
            raise NotCompiled(f"the {type(step).__name__} fails on its own categories")
        found.append((place, column, asked, answers))
    return found


def _answers(step: Any, names: Sequence[str], first: list[list[str]], place: int, asked: Sequence[Any]) -> Any:
    """What an encoder makes of texts in one column, with known ones in all others; None: it refuses one."""
    rows = [[*first[0][:place], text, *first[0][place + 1 :]] for text in asked]
    # Null is None, as in a frame that comes from Arrow.
    frame = pd.DataFrame({name: pd.Series([row[at] for row in rows], dtype=object) for at, name in enumerate(names)})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(step.transform(frame), dtype=float)
    except ValueError:
        return None


def _vocabulary(step: Any, numbers: dict[Any, float]) -> Vocabulary:
    otherwise = numbers.pop(_UNKNOWN, None)
    return Vocabulary({None: None, **numbers}, otherwise)


def _widths(step: OneHotEncoder) -> np.ndarray:
    """How many columns a OneHotEncoder makes of each of its own."""
    names = list(step.feature_names_in_) if hasattr(step, "feature_names_in_") else []
    infrequent = getattr(step, "infrequent_categories_", [None] * len(step.categories_))
    widths = [
        len(known) - (len(rare) - 1 if rare is not None else 0)
        for known, rare in zip(step.categories_, infrequent, strict=True)
    ]
    if step.drop is not None or sum(widths) != len(step.get_feature_names_out(names or None)):
        raise NotCompiled("a OneHotEncoder that drops categories is not compiled")
    return np.array(widths)


_STEPS: dict[type, Callable[[Any, Source, Inputs], Source]] = {
    Pipeline: _pipeline,
    ColumnTransformer: _columns,
    FunctionTransformer: _same,
    SimpleImputer: _imputer,
    StandardScaler: _scaler,
    OrdinalEncoder: _ordinal,
    OneHotEncoder: _one_hot,
}
