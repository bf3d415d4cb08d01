"""Checks of the use cases: their declarations, their modules, the Feast definitions, the DAGs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perennial import discovery
from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.errors import PerennialError
from perennial.settings import settings

#: How long a process may take to end after it was interrupted, in seconds.
_END_PATIENCE = 1.0
_MODULES = ("source", "transforms", "expectations", "model")


def declarations() -> Iterator[Finding]:
    """Whether each use case loads, with valid parameters, and has all its modules."""
    names = discovery.names()
    if not names:
        yield warning("Use cases", "there are none", "Write one: docs/add_a_use_case.md.")
    for name in names:
        try:
            use_case = discovery.load(name)
        except PerennialError as error:
            yield failed(name, error.problem, error.fix or "Fix its use_case.py.")
            continue
        folder = Path(str(sys.modules[f"use_cases.{name}.use_case"].__file__)).parent
        missing = [f"{module}.py" for module in _MODULES if not (folder / f"{module}.py").exists()]
        if missing:
            yield failed(name, f"{folder} has no {', no '.join(missing)}", "Write them: docs/add_a_use_case.md.")
            continue
        tables = f"{len(use_case.raw)} raw and {len(use_case.features)} feature tables"
        yield passed(
            name,
            f"loads: {use_case.cadence} from {use_case.start}, {tables}, {len(use_case.params.model_fields)} params",
        )


def definitions() -> Iterator[Finding]:
    """Whether the Feast definitions are valid, have a service for each use case, and are registered."""
    name = "Feast definitions"
    result = _read("definitions")
    if "problem" in result:
        yield failed(name, result["problem"], result["fix"] or "Fix feature_repo/; `feast plan` there shows the same.")
        return
    absent = {case: service for case, service in result["services"].items() if service not in result["defined"]}
    for case, service in absent.items():
        message = f"{case} names the feature service {service!r}, which feature_repo/ does not define"
        yield failed(name, message, "Define it, or correct feature_service in its use_case.py.")
    if result["registry"] is None:
        message = f"can be imported; the registry does not answer: {result['registry_error']}"
        yield not_applicable(
            name, message, "Check PERENNIAL_DATABASE." if settings().database else "Run `perennial up`."
        )
    elif result["registry"] == "":
        yield not_applicable(name, "are valid, and not registered yet: the first run of features registers them")
    elif result["registry"] != result["digest"]:
        fix = "The next run of features registers them; `perennial plan` shows what that changes."
        yield warning(name, "are valid, but other definitions are registered", fix)
    elif not absent:
        yield passed(name, f"{len(result['defined'])} feature services, as registered")


def dags() -> Iterator[Finding]:
    """Whether Airflow can read every DAG file."""
    result = _read("dags")
    if "problem" in result:
        yield failed("DAGs", result["problem"], result["fix"] or "Fix what is named.")
        return
    for file, error in result["errors"].items():
        yield failed("DAGs", f"{file}: {error}", "Fix that file, or the use case it names.")
    if not result["errors"]:
        yield passed("DAGs", f"{result['count']} DAGs in {result['files']} files, read in {result['seconds']:.1f} s")


def _read(reader: str) -> dict[str, Any]:
    """What `perennial.doctor.airflow_and_feast` prints. A process of its own: on another core, with its own imports."""
    command = [sys.executable, "-m", "perennial.doctor.airflow_and_feast", reader]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        _children.append(child)
        output, errors = child.communicate()
    try:
        return dict(json.loads(output.splitlines()[-1]))
    except (IndexError, ValueError):
        lines = errors.strip().splitlines()
        return {
            "problem": lines[-1] if lines else f"ended with {child.returncode}",
            "fix": f"Run `{' '.join(command)}`.",
        }


#: Processes that were started here; see `stop_processes`.
_children: list[subprocess.Popen[str]] = []


def stop_processes() -> None:
    """Stop the processes that still run, once nobody waits for them any more."""
    still_running = [child for child in _children if child.poll() is None]
    for child in still_running:
        child.send_signal(signal.SIGINT)  # It has a temporary folder to remove.
    for child in still_running:
        try:
            child.wait(_END_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
    _children.clear()
