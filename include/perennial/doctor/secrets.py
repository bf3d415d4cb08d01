"""Keeping secrets out of what the doctor says."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import unquote, urlsplit

from perennial.settings import settings

_HIDDEN = "***"
#: What looks like a login in an address: between `//` and `@`.
_LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
#: Names of variables and properties whose values are not for the eye.
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
#: Shorter values occur in words.
_SHORTEST = 6


def without_login(address: str) -> str:
    """An address without user and password, and without options, which may hold others."""
    return _LOGIN.sub("", address.partition("?")[0])


def hidden(text: str, known: frozenset[str]) -> str:
    """`text` without any of the `known` secrets, and without logins in addresses."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _LOGIN.sub(f"{_HIDDEN}@", text)


def known() -> frozenset[str]:
    """Every secret that a message could contain: of settings, of the environment, of the files in the home."""
    where = settings()
    found = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    found |= {value for name, value in where.catalog.items() if _SECRET_NAME.search(name)}
    addresses = [each.get_secret_value() for each in (where.database, where.online_store) if each]
    addresses += [where.warehouse, where.mlflow_uri, where.airflow_uri, *where.catalog.values()]
    for address in addresses:
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password:
            found |= {password, unquote(password)}
    for name in ("login.json", "keys.json"):
        try:
            held = json.loads((where.home / name).read_text())
        except (OSError, ValueError):
            continue
        found |= {str(value) for field, value in held.items() if field != "user"} if isinstance(held, dict) else set()
    return frozenset(secret for secret in found if len(secret) >= _SHORTEST)
