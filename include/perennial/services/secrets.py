"""Knows the secrets of an installation, and keeps them out of what people read."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import unquote, urlsplit

from perennial.environments import SECRET_NAME
from perennial.settings import settings

_HIDDEN = "***"
#: A login in an address: between `//` and `@`.
_LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
#: Shorter values may occur in ordinary words.
_SHORTEST = 6


def without_login(address: str) -> str:
    """An address without user, password and query, which may contain secrets too."""
    return _LOGIN.sub("", address.partition("?")[0])


def redact(text: str, secrets: frozenset[str]) -> str:
    """A text without secrets.

    Args:
        text: A message that may contain some.
        secrets: Those to replace; logins in addresses are replaced in any case.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _LOGIN.sub(f"{_HIDDEN}@", text)


def known_secrets() -> frozenset[str]:
    """Every secret that a message could contain: from settings, the environment and the files in the home."""
    named = {value for name, value in os.environ.items() if SECRET_NAME.search(name)}
    return of_installation() | {value for value in named if len(value) >= _SHORTEST}


def of_installation() -> frozenset[str]:
    """Passwords and keys from settings and the files in the home; not what else the environment holds."""
    where = settings()
    secrets = {value for name, value in where.catalog.items() if SECRET_NAME.search(name)}
    addresses = [each.get_secret_value() for each in (where.database, where.online_store) if each]
    addresses += [where.warehouse, where.mlflow_uri, where.airflow_uri, *where.catalog.values()]
    for address in addresses:
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password:
            secrets |= {password, unquote(password)}
    for name in ("login.json", "keys.json"):
        try:
            content = json.loads((where.home / name).read_text())
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            secrets |= {str(value) for field, value in content.items() if field != "user"}
    return frozenset(secret for secret in secrets if len(secret) >= _SHORTEST)
