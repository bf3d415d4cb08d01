"""Writes a dossier to a file: whole or not at all, for its owner only, and never over another file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from perennial.errors import InvalidParams


def write(content: bytes, path: Path) -> bool:
    """Write the file, of mode 0600.

    Args:
        content: The bytes of the dossier.
        path: The file.

    Returns:
        Whether it was written; False: it was there already, with the same bytes.

    Raises:
        InvalidParams: there is another file of that name, or no folder for it.
    """
    if path.is_file() and path.read_bytes() == content:
        return False
    if path.exists() or path.is_symlink():
        raise _exists(path)
    if not path.parent.is_dir():
        raise InvalidParams(f"There is no folder {path.parent}.", "Make it, or name another with --to.")
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _move(draft, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise InvalidParams(f"{path} cannot be written: {error.strerror}.", "Name another place with --to.") from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return True


def _move(draft: Path, path: Path) -> None:
    """Give the draft its name, unless somebody else has written a file of that name meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links.
        path.touch(mode=0o600, exist_ok=False)
        draft.replace(path)


def _exists(path: Path) -> InvalidParams:
    return InvalidParams(
        f"{path} is there already, and is another file than the one that would be written.",
        "Name another one with --to, or remove it.",
    )
