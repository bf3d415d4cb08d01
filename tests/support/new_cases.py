"""Data that somebody may have, and a use case made of it in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets

from perennial.scaffold import deciding, profiling, rendering, writing
from perennial.scaffold.asking import nobody
from perennial.scaffold.design import Design
from perennial.scaffold.options import Options


def sales(stores: int = 6, days: int = 200) -> pd.DataFrame:
    """Daily sales by store, unsorted, days as text: repeated keys, a later column, nulls, a constant, some dirt."""
    random = np.random.default_rng(7)
    rows = []
    for store in range(stores):
        for day in pd.date_range("2023-01-01", periods=days, freq="D"):
            promo = random.random() < 0.2
            revenue = 50 + 10 * store + 8 * np.sin(day.dayofweek) + 15 * promo + random.normal(0, 3)
            rows.append((day.strftime("%d/%m/%Y"), f"store {store}", "yes" if promo else "no", revenue, revenue / 12))
    frame = pd.DataFrame(rows, columns=["Day", "Store Name", "On Promo", "Revenue", "Customers"])
    frame["Unit Price ($)"] = [*["unknown"] * 5, *(f"{price:.2f}" for price in random.uniform(9, 10, len(frame) - 5))]
    frame["Currency"], frame["Remarks"] = "EUR", None
    return frame.sample(frac=1, random_state=2)


def bundled(name: str, days: int = 200, seed: int = 3) -> pd.DataFrame:
    """A data set of scikit-learn's with a made-up time: column `target` is the label."""
    frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame.sample(frac=1, random_state=seed)
    seconds = np.sort(np.random.default_rng(seed).uniform(0, days * 86_400, len(frame))).astype(int)
    return frame.assign(seen_at=pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s"))


def csv(frame: pd.DataFrame, folder: Path, name: str = "data.csv", **how: Any) -> str:
    """The frame as a CSV file; its path."""
    path = folder / name
    frame.to_csv(path, index=False, **how)
    return str(path)


def design(data: str, name: str = "tried", ask: Any = nobody, **wishes: Any) -> Design:
    """The design of what `perennial new` would write."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in wishes.items()}
    options = Options(name=name, data=data, owner="somebody", **values)
    notations = {options.time: options.time_format} if options.time_format else {}
    with profiling.at(data, notations) as look:
        return deciding.decide(look, options, ask)


def create(project: Path, name: str, data: str, **wishes: Any) -> Design:
    """Write use case `name` into a project."""
    made = design(data, name, **wishes)
    writing.write(name, rendering.files(made), project)
    return made


def about(made: Design, subject: str) -> str:
    """What was assumed about something; empty: nothing was."""
    return next((each.what for each in made.assumptions if each.about == subject), "")


def feature_names(made: Design) -> list[str]:
    return [column.source for column in made.features]


def answering(*answers: str) -> Any:
    """Somebody who gives these answers, one after the other, if they are among the choices."""
    left = list(answers)

    def ask(question: str, choices: Sequence[str], option: str) -> str:
        choice = left.pop(0)
        assert choice in choices, (question, choices)
        return choice

    return ask


@contextlib.contextmanager
def on_the_path(project: Path) -> Any:
    """The project's use cases can be imported."""
    import sys

    folder = str(project / "include")
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.startswith("use_cases.")]:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
                del sys.modules[name]
