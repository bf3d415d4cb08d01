"""Finds changed definition files that no compared change explains.

What differs in them may be a comment. It may also be something that the comparison does not look at.
"""

from __future__ import annotations

from collections.abc import Iterable

from perennial.feature_changes.definitions import Definitions
from perennial.feature_changes.differences import Change
from perennial.feature_store.definitions.files import FEAST

#: Where the files are; all that is named where the registry does not say which it was made from.
_ALL = "feature_repo/"


def unexplained_files(before: Definitions, after: Definitions, changes: Iterable[Change]) -> tuple[str, ...]:
    """The files that differ although no change is about an object that the file, or one that imports it, defines.

    Args:
        before: The registered definitions, with the files that they were made from.
        after: Those in `feature_repo/`.
        changes: All changes that were found.
    """
    if not before.exists or before.digest == after.digest:
        return ()
    changed = {change.object for change in changes}
    if not before.files:
        return () if changed else (_ALL,)
    names = sorted({*before.files, *after.files})
    sides = [(name, before.files.get(name), after.files.get(name)) for name in names]
    differing = [
        (name, {each for side in (one, other) if side for each in side.objects})
        for name, one, other in sides
        if not (one and other and one.digest == other.digest)
    ]
    return tuple(name if name == FEAST else f"{_ALL}{name}" for name, objects in differing if not objects & changed)


def note(files: Iterable[str]) -> str:
    """The note on such files."""
    return (
        f"{', '.join(files)}: not what was registered last, and no change in the plan explains it: a comment or layout,"
        " a setting in feature_store.yaml, another version of Feast, or something that plans do not compare. Look at"
        " the difference in git; applying registers it."
    )
