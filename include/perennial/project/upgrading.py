"""Brings a project to the installed version: replaces the files that nobody changed, and shows what to change by hand.

What a version writes is compared with what the one before wrote, by digest: a file that the team has changed or removed
is left as it is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from perennial.errors import PerennialError
from perennial.project import record, shipped
from perennial.project.record import Record


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade does.

    Attributes:
        before, after: The version that wrote the files, and the installed one.
        added, replaced: Path -> content.
        removed: Paths of files that the installed version does not write, and nobody changed.
        left: Path -> diff from the team's file to the one that the installed version writes; empty: to nothing.
        behaviour: Version -> its changes in behaviour.
        record: What holds afterwards.
    """

    before: str
    after: str
    record: Record
    added: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    behaviour: dict[str, list[str]] = field(default_factory=dict)


def plan(project: Path) -> Upgrade:
    """What brings a project to the installed version; nothing is written.

    Raises:
        PerennialError: `perennial init` did not write the project, or a later version did.
    """
    recorded, installed = record.read(project), shipped.installed()
    if Version(recorded.version) > Version(installed):
        raise PerennialError(
            f"{project} was written by Perennial {recorded.version}, and {installed} is installed.",
            f"Install {recorded.version} or a later one.",
        )
    files = shipped.files(recorded.name)
    made = Upgrade(
        recorded.version,
        installed,
        record.of(recorded.name, installed, files),
        behaviour=shipped.behaviour_changes(recorded.version),
    )
    for path, content in files.items():
        _compare(made, project, path, content, recorded.files.get(path))
    for path in sorted(recorded.files.keys() - files.keys()):
        current = record.current_digest(project / path)
        if current == recorded.files[path]:
            made.removed.append(path)
        elif current is not None:
            made.left[path] = ""
    return made


def apply(project: Path, upgrade: Upgrade) -> None:
    """Write what was planned.

    Args:
        project: The project's folder.
        upgrade: The plan.
    """
    if record.read(project) != upgrade.record:
        record.put(project, upgrade.added | upgrade.replaced, upgrade.removed, upgrade.record)


def _compare(made: Upgrade, project: Path, path: str, content: str, recorded: str | None) -> None:
    current, coming = record.current_digest(project / path), made.record.files[path]
    if coming in (current, recorded):
        return
    if current is None and recorded is None:
        made.added[path] = content
    elif current is None:
        made.left[path] = ""
    elif current == recorded:
        made.replaced[path] = content
    else:
        own = (project / path).read_text("utf-8", errors="replace").splitlines()
        lines = difflib.unified_diff(own, content.splitlines(), path, f"{path} of {made.after}", lineterm="")
        made.left[path] = "\n".join(lines)
