"""Is the configuration one that can work: each setting, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from perennial._common.suggestions import did_you_mean
from perennial.doctor.finding import Finding, failed, passed, warning
from perennial.doctor.secrets import without_login
from perennial.settings import Settings, settings, variable

_PREFIX = "PERENNIAL_"
#: Variables that are read elsewhere than in `Settings`.
_ALSO_READ = ("PERENNIAL_USER", "PERENNIAL_PASSWORD")


def values() -> Iterator[Finding]:
    """Each setting that the environment sets, and in one line those that it does not."""
    where = settings()
    given = [name for name in Settings.model_fields if variable(name) in os.environ]
    for name in given:
        yield passed(name, f"{_shown(getattr(where, name))} (from {variable(name)})")
    unset = [name for name in Settings.model_fields if name not in given]
    yield passed("Settings", f"{len(given)} from the environment, {len(unset)} by default; home {where.home}")


def names() -> Iterator[Finding]:
    """Variables that look like settings and are none."""
    known = [*map(variable, Settings.model_fields), *_ALSO_READ]
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in known:
            guess = did_you_mean(name, known)
            yield warning(name, "nothing reads this variable", f"{guess}Rename or unset it.")


def project() -> Iterator[Finding]:
    """Whether the project holds what Airflow and Feast are pointed to."""
    root = settings().project
    missing = [name for name in ("dags", "plugins", "feature_repo/feature_store.yaml") if not (root / name).exists()]
    if missing:
        yield failed("project", f"{root} has no {', no '.join(missing)}", "Set PERENNIAL_PROJECT to a checkout.")
    else:
        yield passed("project", f"{root} holds dags/, plugins/ and feature_repo/")


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return without_login(value.get_secret_value())
    if isinstance(value, dict):  # Of a catalog's properties any may be a key.
        return f"properties {', '.join(sorted(value)) or 'none'}"
    return str(value) if isinstance(value, Path | int) else without_login(str(value))
