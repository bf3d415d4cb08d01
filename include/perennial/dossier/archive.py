"""The file that a dossier is: a ZIP archive of which equal content has one form only, read without extracting it.

ZIP, because every desktop opens it, and because its directory tells what is in it before anything is read. Nothing is
compressed: the bytes then depend on no version of zlib, and nothing in it can be larger than the file itself.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

#: What a person opens first, and what names all others; they come first.
INDEX, MANIFEST = "index.html", "manifest.json"
#: A larger file is not read: it is no dossier.
LARGEST = 1 << 30
#: Names that are the same on every file system, below the archive's folder; checked before anything is read.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=-]*(/[A-Za-z0-9_.+@=-]*[A-Za-z0-9_+@=-][A-Za-z0-9_.+@=-]*)*")
#: The earliest that ZIP knows; no time of writing is kept.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644


class Problem(NamedTuple):
    """One thing that is not as it was written.

    Attributes:
        file: Name of the file in the archive; empty: the archive itself.
        what: What is wrong with it, as the end of a sentence.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file or 'the archive'}: {self.what}"


def is_name(name: str) -> bool:
    """Whether a file of an archive may be called so."""
    return len(name) <= 400 and _NAME.fullmatch(name) is not None


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive that holds these files: in one order, without times, owners or compression.

    Args:
        files: Name -> content.

    Raises:
        ValueError: a name is no name of a file in an archive.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name != INDEX, name != MANIFEST, name)):
            if not is_name(name):
                raise ValueError(f"{name!r} is no name of a file in an archive")
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.create_system, entry.external_attr = 3, _MODE << 16
            archive.writestr(entry, files[name])
    return packed.getvalue()


def unpack(content: bytes) -> tuple[dict[str, bytes], list[Problem]]:
    """The files of an archive that somebody else may have made, and what is wrong with it; nothing is extracted.

    Args:
        content: The whole file.

    Returns:
        Name -> content of what can be read safely; and what cannot, with what a dossier never has.
    """
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > len(content):
                return {}, [Problem("", f"says that it holds {total:,} bytes, and has {len(content):,}")]
            for entry in entries:
                if reason := _reason_not_to_read(entry, files):
                    problems.append(Problem(printable(entry.filename), reason))
                    continue
                try:
                    files[entry.filename] = archive.read(entry)
                except Exception as error:  # Whatever a damaged or hostile file makes of the library.
                    problems.append(Problem(entry.filename, f"cannot be read: {printable(str(error))}"))
    except Exception as error:
        return {}, [Problem("", f"is no ZIP archive, or its directory is damaged: {printable(str(error))}")]
    return files, problems


def first_difference(content: bytes, files: Mapping[str, bytes]) -> Problem | None:
    """What of an archive is not as `pack` writes these files, where the files themselves are; None: nothing.

    Args:
        content: The whole file.
        files: What `unpack` read from it.
    """
    written = pack(files)
    if content == written:
        return None
    shorter = min(len(content), len(written))
    place = next((place for place in range(shorter) if content[place] != written[place]), shorter)
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        before = [entry for entry in archive.infolist() if entry.header_offset <= place]
        name = before[-1].filename if before and place < archive.start_dir else ""
    return Problem(name, f"what surrounds the files was changed, from byte {place} of the archive on")


def printable(text: str) -> str:
    """Text from an archive for a terminal: one line, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def _reason_not_to_read(entry: zipfile.ZipInfo, files: Mapping[str, bytes]) -> str:
    kind = entry.external_attr >> 16 & 0o170000
    if not is_name(entry.filename):
        return "has a name that no file of a dossier has; it was not read"
    if entry.filename in files:
        return "is in the archive twice"
    if kind not in (0, 0o100000):
        return "is no regular file; it was not read"
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
        return "is compressed or encrypted, which no file of a dossier is; it was not read"
    return ""
