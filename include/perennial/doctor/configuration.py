"""Checks of the configuration: each setting and where it comes from, unknown variables, the project's folders."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from perennial._common.suggestions import did_you_mean
from perennial.alert_routes import AlertRoute
from perennial.doctor.finding import Finding, failed, passed, warning
from perennial.services.secrets import without_login
from perennial.settings import Settings, settings, variable

_PREFIX = "PERENNIAL_"
#: Variables that are read elsewhere than in `Settings`.
_ALSO_READ = ("PERENNIAL_USER", "PERENNIAL_PASSWORD")


def values() -> Iterator[Finding]:
    """Each setting that the environment sets, and in one line those that it does not."""
    where = settings()
    from_environment = [name for name in Settings.model_fields if variable(name) in os.environ]
    for name in from_environment:
        yield passed(name, f"{_shown(getattr(where, name))} (from {variable(name)})")
    from_file = _in_file(where) - set(from_environment)
    for name in sorted(from_file):
        yield passed(name, f"{_shown(getattr(where, name))} (from environments/{where.environment}.toml)")
    given = f"{len(from_environment)} from variables"
    if where.environment:
        given = f"environment {where.environment!r}: {given}, {len(from_file)} from its file"
    unset = len(Settings.model_fields) - len(from_environment) - len(from_file)
    yield passed("Settings", f"{given}, {unset} by default; home {where.home}")


def names() -> Iterator[Finding]:
    """Environment variables that look like settings and are not."""
    variables = [*map(variable, Settings.model_fields), *_ALSO_READ]
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in variables:
            guess = did_you_mean(name, variables)
            yield warning(name, "nothing reads this variable", f"{guess}Rename or unset it.")


def project() -> Iterator[Finding]:
    """Whether the project has the folders that Airflow and Feast read."""
    root = settings().project
    missing = [name for name in ("dags", "feature_repo/feature_store.yaml") if not (root / name).exists()]
    if missing:
        yield failed(
            "project",
            f"{root} has no {', no '.join(missing)}",
            "Set PERENNIAL_PROJECT to a project; `perennial init` writes one.",
        )
    else:
        yield passed("project", f"{root} contains dags/ and feature_repo/")


def _in_file(where: Settings) -> set[str]:
    """The settings that the environment's file sets."""
    if not where.environment:
        return set()
    return set(tomllib.loads((where.environments / f"{where.environment}.toml").read_text(encoding="utf-8")))


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return without_login(value.get_secret_value())
    if isinstance(value, dict):  # Any of a catalog's properties may be a secret.
        return f"properties {', '.join(sorted(value)) or 'none'}"
    if isinstance(value, list):
        return ", ".join(each.name if isinstance(each, AlertRoute) else str(each) for each in value) or "none"
    return str(value) if isinstance(value, Path | int) else without_login(str(value))
