"""Renders the design of a use case into its files, by Jinja templates."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jinja2

from perennial.scaffold import names, sentences, sources, texts
from perennial.scaffold.design import Design, Label
from perennial.scaffold.texts import spoken

#: Template -> file, relative to the project.
_FILES = {
    "use_case.py": "include/use_cases/{name}/use_case.py",
    "source.py": "include/use_cases/{name}/source.py",
    "transforms.py": "include/use_cases/{name}/transforms.py",
    "expectations.py": "include/use_cases/{name}/expectations.py",
    "model.py": "include/use_cases/{name}/model.py",
    "README.md": "include/use_cases/{name}/README.md",
    "feature_repo.py": "feature_repo/{name}.py",
    "conftest.py": "tests/use_cases/{name}/conftest.py",
    "test_source.py": "tests/use_cases/{name}/test_{name}_source.py",
    "test_transforms.py": "tests/use_cases/{name}/test_{name}_transforms.py",
    "test_model.py": "tests/use_cases/{name}/test_{name}_model.py",
}
_METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
_CALENDAR = {
    "hour_of_day": 'moment.hour().cast("int64")',
    "day_of_week": 'moment.day_of_week.index().cast("int64")',
    "month_of_year": 'moment.month().cast("int64")',
}


def files(design: Design) -> dict[str, str]:
    """Path relative to the project -> content, of every file of the use case."""
    context = _context(design)
    return {
        path.format(name=design.name): _environment().get_template(f"{template}.jinja").render(context)
        for template, path in _FILES.items()
    }


@cache
def _environment() -> jinja2.Environment:
    # Python and Markdown, not HTML: what comes from the data is made harmless by `texts`.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.PackageLoader("perennial.scaffold"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"py": texts.python, "pytuple": texts.python_tuple}
    return environment


def _context(design: Design) -> dict[str, Any]:
    label, name = design.label, design.name
    keys = [key.name for key in design.keys] or ["series"]
    row_key = design.row_key or ("row_id",)
    past, prefix = _past(design)
    request = [*(column.name for column in design.features), *design.calendar]
    booleans = [column.name for column in design.features if column.kind == "boolean"]
    plain = [*row_key, *(key.name for key in design.keys), *(c.name for c in design.features if c.kind != "boolean")]
    past_features = _past_features(design, past, prefix)
    return {
        "design": design,
        "name": name,
        "task": design.task,
        "boosts": design.boosts,
        "policy": design.policy,
        "label": label.column.name,
        "classes": tuple(label.classes.values()),
        "metric": _METRIC[design.task],
        "params_class": f"{name.title().replace('_', '')}Params",
        "variable": f"{name.upper()}_DATA",
        "rows_text": f"{design.rows:,}",
        "end": design.cuts.partitions[-1].next.key,
        "row_key": row_key,
        "keys": keys,
        "is_one_series": not design.keys,
        "entities": _entities(design),
        "lookback": design.spans[-1].length + design.known_after,
        "request_features": request,
        "ignored": [each for each in design.calendar if each == "month_of_year"],
        "typical": design.sample[0],
        "learnt_from": design.sample,
        "model_features": [*request, *past_features],
        "text_features": [column.name for column in design.features if column.kind == "text"],
        "past": past,
        "past_label": label.column.name,
        "prefix": prefix,
        "past_features": past_features,
        "label_expression": _label_expression(design),
        "renamed": _renamed(design),
        "outcomes": {name: f"{prefix}{outcome}" for name, outcome in _outcomes(label).items()},
        "baseline": _baseline(design, prefix),
        "past_label_features": [each for each in past_features if each.startswith(f"{prefix}{label.column.name}_")],
        "plain_columns": list(dict.fromkeys(plain)),
        "boolean_columns": [each for each in booleans if each not in plain],
        "calendar": {each: _CALENDAR[each] for each in design.calendar},
        "causal_slack": '.dt.truncate("1s")' if design.resolution.is_below_seconds else "",
        **sources.context(design),
        **sentences.context(design, keys, _baseline(design, prefix)),
        **_profile(design),
        **_model(design),
    }


def _outcomes(label: Label) -> dict[str, str]:
    """Of several classes: name of the class -> what `history` calls that it was this one."""
    named: dict[str, str] = {}
    for name in label.classes.values():
        named[name] = names.unique(f"{label.column.name}_{names.plain(name)}", named.values())
    return named


def _past(design: Design) -> tuple[dict[str, str], str]:
    """Name -> expression of what `history` looks back at, the label first; and the prefix of its features' names.

    Of several classes the expressions are empty: the file writes one for all.
    """
    past = dict.fromkeys(_outcomes(design.label).values(), "")
    past = past or {design.label.column.name: '_label(observations).cast("float64")'}
    for column in design.later:
        past[column.name] = f'observations[{texts.python(column.name)}].cast("float64")'
    taken = {column.name for column in design.columns}
    clash = any(name.startswith(f"{value}_") for value in past for name in taken)
    return past, "past_" if clash else ""


def _baseline(design: Design, prefix: str) -> str:
    """The feature that is a guess itself: the last value of a number, the key's own rate; empty: of classes none is."""
    if design.task == "multiclass":
        return ""
    label = f"{prefix}{design.label.column.name}"
    return f"{label}_last" if design.task == "regression" else f"{label}_mean_{design.spans[-1].name}"


def _past_features(design: Design, past: dict[str, str], prefix: str) -> dict[str, str]:
    """Feature of `history` -> what it is."""
    called = {column.name: texts.harmless(column.source)[:50] for column in design.columns}
    label = design.label
    called |= {each: f"{called[label.column.name][:30]} {name}, 1 or 0," for name, each in _outcomes(label).items()}
    features = {}
    for value in past:
        features[f"{prefix}{value}_last"] = f"The last {called[value]} known."
        for span in design.spans:
            features[f"{prefix}{value}_mean_{span.name}"] = f"Mean {called[value]} of {spoken(span.length)}."
    return features


def _profile(design: Design) -> dict[str, Any]:
    """What `expectations.py` says."""
    ranges = {
        column.name: (_outward(column.low, math.floor), _outward(column.high, math.ceil))
        for column in design.columns
        if column.is_number
        and column.name not in (design.time.name, *(key.name for key in design.keys))
        and column.name not in (*design.row_key, *design.counting)
    }
    filled = {
        column.name: max(0.0, math.floor((1 - column.missing / design.rows - 0.1) * 100) / 100)
        for column in design.columns
    }
    return {
        "ranges": ranges,
        "filled": filled,
        "categories": {
            column.name: sorted(column.values)
            for column in design.columns
            if column.kind == "text" and column.values and all(len(value) < 90 for value in column.values)
        },
    }


def _outward(value: float, to: Any) -> float | int:
    """A number rounded away from the others, to four digits; whole numbers as they are."""
    if isinstance(value, int) or not value:
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return float(f"{to(value / unit) * unit:.6g}")


def _model(design: Design) -> dict[str, Any]:
    """What `model.py` imports."""
    has_text = any(column.kind == "text" for column in design.features)
    compose = ["from sklearn.compose import make_column_transformer"] if has_text else []
    pipeline = "from sklearn.pipeline import Pipeline, make_pipeline"
    kind = "Regressor" if design.task == "regression" else "Classifier"
    if design.boosts:
        estimator = f"HistGradientBoosting{kind}"
        encoder = ["from sklearn.preprocessing import OrdinalEncoder"] if has_text else []
        imports = [*compose, f"from sklearn.ensemble import {estimator}", pipeline, *encoder]
        return {"estimator": estimator, "model_imports": imports}
    estimator = "Ridge" if design.task == "regression" else "LogisticRegression"
    imports = [
        *compose,
        "from sklearn.impute import SimpleImputer",
        f"from sklearn.linear_model import {estimator}",
        pipeline,
        f"from sklearn.preprocessing import {'OneHotEncoder, ' if has_text else ''}StandardScaler",
    ]
    return {"estimator": estimator, "model_imports": imports}


def _entities(design: Design) -> list[dict[str, str]]:
    """The Feast entities. Named after the use case: all use cases share one Feast project."""
    if not design.keys:
        description = "Always `all`: the rows are one series."
        return [{"variable": f"{design.name}_series", "key": "series", "type": "STRING", "description": description}]
    return [
        {
            "variable": f"{design.name}_{key.name}",
            "key": key.name,
            "type": "INT64" if key.kind == "integer" else "STRING",
            "description": f"{texts.harmless(key.source)[:60]}, of about {key.distinct}.",
        }
        for key in design.keys
    ]


def _renamed(design: Design) -> dict[str, str]:
    """Value in the data -> name of its class, where that is another one."""
    return {str(value): name for value, name in design.label.classes.items() if str(value) != name}


def _label_expression(design: Design) -> str:
    column, positive = design.label.column, design.label.positive
    value = f"observations[{texts.python(column.name)}]"
    if design.task == "regression":
        return f'{value}.cast("float64")'
    if design.label.classes:
        return value if column.kind == "text" else f'{value}.cast("string")'
    if column.kind == "boolean":
        return f'{value}.cast("int64")' if positive else f'(~{value}).cast("int64")'
    expression = f'({value} == {texts.python(positive)}).cast("int64")'
    return expression + texts.noqa(E501=len(expression) + 11 > texts.WIDTH)
