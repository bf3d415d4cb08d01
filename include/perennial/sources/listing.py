"""Lists the data files of a place, by one rule for all who read them: what is read, and what is left out and why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

S3 = "s3://"
Format = Literal["csv", "parquet"]
_PACKED = ("", ".gz", ".zst", ".bz2")
#: How the names of files end that are read, in capitals or not.
ENDINGS: dict[Format, tuple[str, ...]] = {
    "csv": tuple(f"{kind}{packed}" for kind in (".csv", ".tsv", ".txt") for packed in _PACKED),
    "parquet": (".parquet", ".pq"),
}
MAGIC = re.compile(r"([*?\[])")
#: A folder's name that is a value of a column, as Hive and Spark write tables: `month=2024-01`.
_HIVE = re.compile(r"([^=/]+)=([^/]*)")
#: What a sign of a pattern stands for, as a regular expression.
_ANY = {"*": "[^/]*", "?": "[^/]"}
#: The name of a folder that means no value.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class DataFile:
    """A file that is read.

    Attributes:
        address: Its path, or `s3://` address.
        folders: Columns that its folders' names give, as text: `month=2024-01`; None: no value.
        size: In bytes, as it is stored.
    """

    address: str
    folders: dict[str, str | None] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True)
class Listing:
    """What a place holds.

    Attributes:
        files: That are read, sorted by address, whether in capitals or not.
        left_out: Address -> why it is not read.
    """

    files: tuple[DataFile, ...]
    left_out: dict[str, str] = field(default_factory=dict)


def format_of(name: str) -> Format | None:
    """What the ending of a file's name says that it holds; None: nothing that is read."""
    lower = name.lower()
    return next((form for form, endings in ENDINGS.items() if lower.endswith(endings)), None)


def list_files(place: str, form: Format | None = None) -> Listing:
    """The files that a place means: itself, all in a folder or S3 prefix, or those that fit a pattern.

    In a folder and the folders below it, links followed, every file whose name ends as files of the format do is read,
    once. Left out are empty files, hidden ones (their name, or a folder's, begins with `.` or `_`) and what editors
    leave behind. A pattern fits names in capitals or not, and files with any ending that it names.

    Args:
        place: A path or `s3://` address: of a file, a folder, or with `*`, `**`, `?` or `[...]`.
        form: Only files of this format; None: of any that is read. A file that is named itself is read in any case.

    Raises:
        OSError: S3 does not answer, or refuses.
    """
    root, pattern = _parted(place)
    left_out: dict[str, str] = {}
    files = []
    for path, relative, size in _walk(root, left_out):
        if not relative:
            return Listing((DataFile(path, {}, size),) if size else (), {} if size else {path: "is empty"})
        if pattern is not None and not pattern.fullmatch(relative):
            left_out.pop(path, None)
            continue
        if path in left_out:
            continue
        why = _why_not(relative, size) or ("" if pattern else _why_no_data(relative, form))
        if why:
            left_out[path] = why
            continue
        parts = relative.split("/")[:-1]
        matches = [match for part in parts if (match := _HIVE.fullmatch(part))]
        folders = {match[1]: None if match[2] == HIVE_NULL else unquote(match[2]) for match in matches}
        files.append(DataFile(path, folders, size))
    files.sort(key=lambda file: (file.address.lower(), file.address))
    return Listing(tuple(files), dict(sorted(left_out.items())))


def escaped(path: str) -> str:
    """A path that is not taken for a pattern."""
    return MAGIC.sub(r"[\1]", path)


def s3(address: str) -> tuple[FileSystem, str]:
    """The S3 of an address' bucket, as the environment's `AWS_*` variables describe it, and the path there."""
    from pyarrow import fs

    store, _ = fs.FileSystem.from_uri("/".join(address.split("/")[:3]))
    return store, address.removeprefix(S3).rstrip("/")


def _why_not(relative: str, size: int) -> str:
    *folders, name = relative.split("/")
    if name.startswith((".", "_")) or any(folder.startswith((".", "_")) for folder in folders):
        return "is hidden"
    if name.startswith("~$") or (name.startswith("#") and name.endswith("#")) or name.endswith("~"):
        return "is what an editor leaves behind"
    return "" if size else "is empty"


def _why_no_data(relative: str, form: Format | None) -> str:
    found = format_of(relative)
    if found is None:
        return "has another ending"
    return f"is no {form} file" if form not in (None, found) else ""


def _parted(place: str) -> tuple[str, re.Pattern[str] | None]:
    """The folder or file that a place begins with, and the pattern of what is meant below it; None: everything."""
    if not MAGIC.search(place) or (not place.startswith(S3) and Path(place).exists()):
        return place, None
    parts = place.split("/")
    first = 0
    while first < len(parts) and not MAGIC.search(_plain(parts[first])):
        first += 1
    root = "/".join(map(_unescaped, parts[:first]))
    if first == len(parts):
        return root, None
    return root or ("/" if place.startswith("/") else "."), re.compile(_regex(parts[first:]), re.IGNORECASE)


def _plain(part: str) -> str:
    """A part of a path without what is escaped in it."""
    return re.sub(r"\[[*?\[]\]", "", part)


def _unescaped(part: str) -> str:
    return re.sub(r"\[([*?\[])\]", r"\1", part)


def _regex(parts: list[str]) -> str:
    pattern = ""
    for number, part in enumerate(parts):
        if part == "**":
            pattern += "(?:[^/]+/)*" if number < len(parts) - 1 else ".*"
            continue
        for sign in re.findall(r"\[!?\]?[^\]]*\]|.", part):
            if sign in _ANY:
                pattern += _ANY[sign]
            elif len(sign) > 1:
                pattern += "[" + sign[1:-1].replace("\\", "\\\\").replace("!", "^", 1) + "]"
            else:
                pattern += re.escape(sign)
        pattern += "/" if number < len(parts) - 1 else ""
    return pattern


def _walk(root: str, left_out: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Path, path below the root (empty: the root itself), and size of every file; links that are not read are noted."""
    if root.startswith(S3):
        yield from _walk_s3(root)
        return
    if Path(root).is_file():
        yield root, "", Path(root).stat().st_size
        return

    def fail(error: OSError) -> None:
        raise error

    # A file and a link to it are one file, and a folder that links to one above it has no end.
    seen = {Path(root).resolve()}
    for name, folders, names in os.walk(root, followlinks=True, onerror=fail):
        folder = Path(name)
        folders[:] = [each for each in sorted(folders) if _is_new(folder / each, seen)]
        for path in sorted((folder / each for each in names), key=lambda path: (path.is_symlink(), path.name)):
            size = 0
            if not path.is_file():
                left_out[str(path)] = "is a link to nothing, or no file"
            else:
                size = path.stat().st_size
                if not _is_new(path, seen):
                    left_out[str(path)] = f"is a link to {path.resolve()}, which is read"
            yield str(path), path.relative_to(root).as_posix(), size


def _is_new(path: Path, seen: set[Path]) -> bool:
    real = path.resolve()
    is_new = real not in seen
    seen.add(real)
    return is_new


def _walk_s3(root: str) -> Iterator[tuple[str, str, int]]:
    from pyarrow import fs

    store, path = s3(root)
    info = store.get_file_info(path)
    if info.type == fs.FileType.File:
        yield root, "", info.size
        return
    for each in store.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True)):
        if each.type == fs.FileType.File:
            yield f"{S3}{each.path}", each.path.removeprefix(path).lstrip("/"), each.size
