"""Reads what distinguishes environments, such as staging and production: files in git, and names of their own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perennial.errors import InvalidSetting

#: What an environment may be named: it becomes part of names of databases, folders, experiments and models.
NAME = r"^([a-z][a-z0-9_]{0,19})?$"
#: Names of variables, settings and properties whose values are secrets.
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
#: A file cannot say which file is read.
_NOT_IN_FILES = ("project", "environment", "environments")


def own_place(place: str, part: str, name: str) -> str:
    """A place that no other environment uses; what is one already stays as it is: processes hand it on.

    Args:
        place: A folder, or the address of one.
        part: What is added to it, which ends with the environment's name.
        name: The environment's; empty: the place itself is used.
    """
    place = place.rstrip("/") if name else place
    return place if not name or place.endswith(f"/{part}") else f"{place}/{part}"


def check_file(name: str, file: Path, settings: Collection[str]) -> None:
    """Check the file of an environment: it is in git, where whoever may read the code reads it.

    Args:
        name: The environment's.
        file: Its TOML file.
        settings: The names of all settings.

    Raises:
        InvalidSetting: it is not there, is not TOML, sets something unknown, or contains a secret.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        present = ", ".join(sorted(each.stem for each in file.parent.glob("*.toml"))) or "none"
        raise InvalidSetting(
            f"PERENNIAL_ENVIRONMENT is {name!r}, and there is no file {file}.",
            f"Write it, even an empty one, or name an environment that has one: {present}.",
        ) from None
    except ValueError as error:  # Also of bytes that are not UTF-8.
        raise InvalidSetting(f"{file} is not TOML: {error}.", "Correct it.") from None
    if unknown := sorted(set(content) - set(settings) | set(content) & set(_NOT_IN_FILES)):
        raise InvalidSetting(
            f"{file} sets {unknown[0]!r}, which is not a setting that an environment's file may set.",
            "See docs/settings.md; names are written without PERENNIAL_, in small letters.",
        )
    for place in _secrets(content):
        raise InvalidSetting(
            f"{file} sets {place}, which looks like a secret; this file is in git.",
            f"Remove it, change the secret if it was committed, and set PERENNIAL_{place.split('.')[0].upper()}.",
        )


def _secrets(content: Any, place: str = "") -> Iterator[str]:
    """Where in a file's content something looks like a secret."""
    children: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(content, dict):
        children = iter(content.items())
    elif isinstance(content, list):
        children = iter(enumerate(content))
    elif isinstance(content, str) and _has_password(content):
        yield place
    for name, child in children:
        at = f"{place}.{name}" if place else str(name)
        if SECRET_NAME.search(str(name)):
            yield at
        else:
            yield from _secrets(child, at)


def _has_password(text: str) -> bool:
    try:
        address = urlsplit(text)
        return bool(address.password) or bool(address.scheme and SECRET_NAME.search(address.query))
    except ValueError:
        return "@" in text
