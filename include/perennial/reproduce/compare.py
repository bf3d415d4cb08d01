"""Says what differs between a recorded training and one done again: rows, predictions, code and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from perennial.registry import mlflow_artifacts, provenance
from perennial.registry.provenance import Environment
from perennial.reproduce.recipe import Recipe
from perennial.reproduce.report import Part
from perennial.use_case import UseCase

#: How many names a sentence lists.
_SHOWN = 8
#: Packages that compute something; a difference in one of these is named first.
_COMPUTING = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "polars", "duckdb", "feast", "skops", "mlflow")


def rows(then: pa.Table, now: pa.Table, key: Sequence[str], sources: Mapping[str, str]) -> list[str]:
    """How two training sets differ, in sentences; none if their rows are equal.

    Args:
        then: The recorded training set.
        now: The one built again.
        key: Columns that identify a row.
        sources: Column -> the lake table it comes from.
    """
    differences = []
    for change, one, other in (("no longer there", then, now), ("new", now, then)):
        names = [name for name in one.column_names if name not in other.column_names]
        if names:
            differences.append(f"{_counted(len(names), 'column')} {change}: {_some(names)}.")
    common = [name for name in then.column_names if name in now.column_names]
    if set(key) - set(common):
        return differences
    old, new = (pl.DataFrame(table.select(common)) for table in (then, now))
    for change, one, other in (("no longer there", old, new), ("new", new, old)):
        lone = one.join(other, on=list(key), how="anti", nulls_equal=True)
        if lone.height:
            first = ", ".join(f"{name}={lone[name][0]}" for name in key)
            differences.append(f"{_counted(lone.height, 'row')} {change}, for instance {first}.")
    for name in common:
        if old[name].dtype != new[name].dtype:
            differences.append(
                f"Column {name} of {sources.get(name, 'the examples')} was {old[name].dtype}, is {new[name].dtype}."
            )
    joined = old.join(new, on=list(key), how="inner", suffix="\0now", nulls_equal=True)
    values = [name for name in common if name not in key and old[name].dtype == new[name].dtype]
    changed = {name: int(joined[name].ne_missing(joined[f"{name}\0now"]).sum()) for name in values}
    for name, count in sorted(changed.items(), key=lambda item: -item[1]):
        if count:
            differences.append(f"Column {name} of {sources.get(name, 'the examples')}: {_differing(count, 'row')}.")
    return differences


def predictions(then: np.ndarray, now: np.ndarray, of: str = "the holdout") -> Part:
    """Compare two models' predictions of the same rows, bit for bit.

    Args:
        then: (n,) floats of the registered model; of K classes (n, K).
        now: Likewise, of the one fitted again.
        of: Which rows they are, for people.
    """
    differ = then.view(np.uint64) != now.view(np.uint64)
    count = int((differ.any(axis=1) if differ.ndim == 2 else differ).sum())
    if not count:
        return Part("predictions", True, (f"{len(then):,} of {of}, bit for bit.",))
    largest = float(np.nanmax(np.abs(then - now))) if np.isfinite(then - now).any() else float("nan")
    return Part(
        "predictions",
        False,
        (f"{count:,} of {len(then):,} of {of} differ, by {largest:.3g} at most.",),
    )


def code(use_case: UseCase, recipe: Recipe) -> Part:
    """Compare the code that trained the version with the code here.

    Args:
        use_case: Whose code.
        recipe: What was recorded of the version.
    """
    trained = f"{recipe.commit[:12] or 'no commit'}{' and changes that are in no commit' if recipe.is_dirty else ''}"
    current = provenance.code_version()
    if recipe.provenance is None:
        equal = None if recipe.is_dirty or not recipe.commit else current == recipe.commit
        return Part("code", equal, (f"Trained by {trained}; here is {_short(current)}.",))
    now = provenance.files(use_case)
    then = recipe.provenance.files
    differ = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if not differ:
        return Part("code", True, (f"{len(now)} files as at the training, by {trained}.",))
    # What a data scientist writes first, then what features are made of, then the library.
    order = (f"include/use_cases/{use_case.name}/", "feature_repo/")
    differ.sort(key=lambda name: next((rank for rank, root in enumerate(order) if name.startswith(root)), len(order)))
    findings = [
        f"Trained by {trained}; here is {_short(current)}.",
        f"{_differing(len(differ), 'file')}: {_some(differ)}.",
    ]
    if recipe.changes:
        findings.append(_changes_kept(recipe))
    return Part("code", False, tuple(findings))


def environment(recipe: Recipe, threads: Mapping[str, int]) -> Part:
    """Compare the environment that the version was trained in with this one.

    Args:
        recipe: What was recorded of the version.
        threads: What the thread pools were limited to here.
    """
    if recipe.provenance is None:
        equal = recipe.lock == provenance.lock_digest()
        return Part("environment", equal, (f"Lock file {'equal' if equal else 'differs'}; no more was recorded.",))
    then, now = recipe.provenance.environment, provenance.environment()
    differences = [
        f"{label}: {getattr(then, field)} then, {getattr(now, field)} here."
        for field, label in (("python", "Python"), ("platform", "Platform"), ("processor", "Processor"))
        if getattr(then, field) != getattr(now, field)
    ]
    if then.lock != now.lock:
        differences.append(f"requirements.lock: {then.lock[:12]} then, {now.lock[:12]} here.")
    differences += _packages(then, now)
    for kind, count in then.threads.items():
        if kind in threads and threads[kind] != count:
            differences.append(f"Threads of {kind}: {count} then, {threads[kind]} here.")
    if differences:
        return Part("environment", False, tuple(differences))
    return Part("environment", True, (f"Python {now.python}, {len(now.packages)} packages, {now.processor}.",))


def _packages(then: Environment, now: Environment) -> list[str]:
    names = sorted(n for n in {*then.packages, *now.packages} if then.packages.get(n) != now.packages.get(n))
    names.sort(key=lambda name: name not in _COMPUTING)
    if not names:
        return []
    shown = [f"{name} {then.packages.get(name, 'absent')} to {now.packages.get(name, 'absent')}" for name in names]
    return [f"{_differing(len(names), 'package')}: {_some(shown)}."]


def _changes_kept(recipe: Recipe) -> str:
    withheld = recipe.changes.get("withheld", {})
    but = f", but for {_some(sorted(withheld))}" if withheld else ""
    return f"What was in no commit is kept with MLflow run {recipe.run_id} as {mlflow_artifacts.CODE_DIFF}{but}."


def _short(version: str) -> str:
    commit, dirty, _ = version.partition("+dirty")
    return f"{commit[:12]}{' and changes that are in no commit' if dirty else ''}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _differing(count: int, noun: str) -> str:
    return f"{_counted(count, noun)} {'differs' if count == 1 else 'differ'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
