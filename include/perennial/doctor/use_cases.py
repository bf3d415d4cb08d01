"""Can the use cases run: their declarations, their modules, the Feast definitions, the DAGs."""

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

#: How long a process that is sent away may take to go, in seconds.
_FAREWELL = 1.0
_MODULES = ("source", "transforms", "expectations", "model")


def declarations() -> Iterator[Finding]:
    """Each use case: loads, has valid parameters, and has all its modules."""
    names = discovery.names()
    if not names:
        yield warning("Use cases", "there are none", "Write one: docs/add_a_use_case.md.")
    for name in names:
        try:
            found = discovery.load(name)
        except PerennialError as error:
            yield failed(name, error.problem, error.fix or "Mend its use_case.py.")
            continue
        folder = Path(str(sys.modules[f"use_cases.{name}.use_case"].__file__)).parent
        missing = [f"{module}.py" for module in _MODULES if not (folder / f"{module}.py").exists()]
        if missing:
            yield failed(name, f"{folder} has no {', no '.join(missing)}", "Write them: docs/add_a_use_case.md.")
            continue
        tables = f"{len(found.raw)} raw and {len(found.features)} feature tables"
        yield passed(
            name, f"loads: {found.cadence} from {found.start}, {tables}, {len(found.params.model_fields)} params"
        )


def definitions() -> Iterator[Finding]:
    """The Feast definitions: valid, with a service for each use case, and the ones that the registry holds."""
    name = "Feast definitions"
    told = _ask("definitions")
    if "problem" in told:
        yield failed(name, told["problem"], told["fix"] or "Mend feature_repo/; `feast plan` there shows the same.")
        return
    absent = {case: service for case, service in told["services"].items() if service not in told["defined"]}
    for case, service in absent.items():
        said = f"{case} asks for feature service {service!r}, which feature_repo/ does not define"
        yield failed(name, said, "Define it, or correct feature_service in its use_case.py.")
    if told["registry"] is None:
        said = f"can be imported; the registry does not answer: {told['silence']}"
        yield not_applicable(name, said, "Check PERENNIAL_DATABASE." if settings().database else "Run `perennial up`.")
    elif told["registry"] == "":
        yield not_applicable(name, "are valid, and not registered yet: the first run of features does it")
    elif told["registry"] != told["digest"]:
        mend = "The next run of features registers them; `perennial plan` shows what that changes."
        yield warning(name, "are valid, but the registry holds others", mend)
    elif not absent:
        yield passed(name, f"{len(told['defined'])} feature services, as the registry holds them")


def dags() -> Iterator[Finding]:
    """Whether Airflow can read every DAG file."""
    told = _ask("dags")
    if "problem" in told:
        yield failed("DAGs", told["problem"], told["fix"] or "Mend what is named.")
        return
    for file, said in told["errors"].items():
        yield failed("DAGs", f"{file}: {said}", "Mend that file, or the use case it names.")
    if not told["errors"]:
        yield passed("DAGs", f"{told['count']} DAGs in {told['files']} files, read in {told['seconds']:.1f} s")


def _ask(question: str) -> dict[str, Any]:
    """The answer of `perennial.doctor.heavy`, in a process of its own: on another core, and without our imports."""
    command = [sys.executable, "-m", "perennial.doctor.heavy", question]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        _children.append(child)
        output, errors = child.communicate()
    try:
        return dict(json.loads(output.splitlines()[-1]))
    except (IndexError, ValueError):
        said = errors.strip().splitlines()
        return {"problem": said[-1] if said else f"ended with {child.returncode}", "fix": f"Run `{' '.join(command)}`."}


#: Processes that were started here; see `end`.
_children: list[subprocess.Popen[str]] = []


def end() -> None:
    """End what is still being asked: nobody waits for it any more."""
    asked = [child for child in _children if child.poll() is None]
    for child in asked:
        child.send_signal(signal.SIGINT)  # It has a folder to clear away.
    for child in asked:
        try:
            child.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            child.kill()
    _children.clear()
