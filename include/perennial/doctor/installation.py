"""Checks of the installation: Python, the virtual environment, the packages."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.settings import settings

#: How many packages to name in one line.
_SHOWN = 4
_INSTALL = "Run `make install`."


def python() -> Iterator[Finding]:
    """The interpreter's version against what the package declares."""
    running = ".".join(map(str, sys.version_info[:3]))
    declared = metadata.metadata("perennial")["Requires-Python"] or ""
    if Requirement(f"python{declared}").specifier.contains(running):
        yield passed("Python", f"{running}, the project asks for {declared}")
    else:
        fix = "Make the environment again: `make clean install PYTHON=/path/to/python3.11`."
        yield failed("Python", f"{running}, but the project asks for {declared}", fix)


def environment() -> Iterator[Finding]:
    """Whether this is the project's virtual environment, with the project's own package in it."""
    prefix, own = Path(sys.prefix), settings().project / ".venv"
    message = f"{prefix}, {sys.executable}"
    if sys.prefix == sys.base_prefix:
        yield warning(
            "Environment", f"{message}: no virtual environment", "Run `make install`, then .venv/bin/perennial."
        )
    elif own.exists() and own.resolve() != prefix.resolve():
        yield warning("Environment", f"{message}: not the project's own, {own}", f"Use {own}/bin/perennial.")
    else:
        yield passed("Environment", message)
    import perennial

    package = Path(str(perennial.__file__)).resolve()
    if absent := _absent_entry_points():
        yield failed("Package", f"perennial was installed before it had the entry points {_some(absent)}", _INSTALL)
    elif package.is_relative_to(settings().project) or not (settings().project / "include/perennial").is_dir():
        yield passed("Package", f"perennial {metadata.version('perennial')} from {package.parent}")
    else:
        yield warning(
            "Package",
            f"perennial {metadata.version('perennial')} is imported from {package.parent}, outside of the project"
            f" {settings().project}",
            "Install the project (`make install`), or set PERENNIAL_PROJECT to the checkout that is meant.",
        )


def _absent_entry_points() -> list[str]:
    """What other libraries should find in this package, and do not: metadata is written only when it is installed."""
    file = settings().project / "pyproject.toml"
    declared = tomllib.loads(file.read_text())["project"].get("entry-points", {}) if file.exists() else {}
    installed = {(point.group, point.name, point.value) for point in metadata.distribution("perennial").entry_points}
    points = [(group, name, value) for group, names in declared.items() for name, value in names.items()]
    return [f"{group} {name}" for group, name, value in points if (group, name, value) not in installed]


def requirements() -> Iterator[Finding]:
    """Whether the installed packages meet the requirements of this one."""
    versions, wrong = _installed(), []
    declared = [Requirement(text) for text in metadata.requires("perennial") or ()]
    required = [each for each in declared if each.marker is None or each.marker.evaluate({"extra": ""})]
    for requirement in required:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, needed is {requirement.specifier}")
    if wrong:
        yield failed("Dependencies", _some(wrong), _INSTALL)
    else:
        yield passed("Dependencies", f"all {len(required)} direct ones are there, in versions that fit")


def lock() -> Iterator[Finding]:
    """Whether the installed packages are those of the lock file."""
    file = settings().project / "requirements.lock"
    if not file.exists():
        yield not_applicable("Lock file", f"{file} is not there: installed without one")
        return
    versions = _installed()
    locked = list(_locked(file))
    other = [
        f"{each.name} {versions[name]} instead of {_pin(each)}"
        for each in locked
        if (name := canonicalize_name(each.name)) in versions
        and not each.specifier.contains(versions[name], prereleases=True)
    ]
    absent = [each.name for each in locked if canonicalize_name(each.name) not in versions]
    if other:
        yield warning("Lock file", f"{len(other)} of {len(locked)} packages differ from it: {_some(other)}", _INSTALL)
    if absent:
        yield warning("Lock file", f"{len(absent)} of {len(locked)} packages are missing: {_some(absent)}", _INSTALL)
    if not other and not absent:
        yield passed("Lock file", f"all {len(locked)} packages are installed as it says")


def _locked(file: Path) -> Iterator[Requirement]:
    """The requirements of a lock file that apply on this machine."""
    for line in file.read_text().splitlines():
        if not line.strip() or line.startswith((" ", "#", "-")):
            continue
        try:
            requirement = Requirement(line.rstrip(" \\"))
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _pin(requirement: Requirement) -> str:
    return str(requirement.specifier).removeprefix("==")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@cache
def _installed() -> dict[str, str]:
    """Name and version of every installed package, from folder names: reading each one's metadata takes seconds."""
    versions: dict[str, str] = {}
    for entry in sys.path:
        for folder in Path(entry).glob("*.dist-info") if entry and Path(entry).is_dir() else ():
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            versions.setdefault(canonicalize_name(name), version)
    return versions
