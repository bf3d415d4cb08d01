"""Addresses on the web: parsed or rejected in one place, and written without the secrets that they hold."""

from __future__ import annotations

import re

import httpx

from perennial.errors import BadBatch
from perennial.sources import connections

#: Names of an address's parameters that grant access.
_SECRET = re.compile(
    r"(^|[-_])(sig|signature|sas|token|jwt|bearer|key|accesskey|apikey|authkey|secret|pass|passwd|password|passphrase"
    r"|pwd|credentials?|auth|accesstoken|authtoken)($|[-_])"
)
#: Where a new word begins in a camel-case name.
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: A part of a host's name as the network knows it: international names are encoded to it.
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.IGNORECASE)


def is_address(where: str) -> bool:
    """Whether it is an address to fetch from, rather than a path."""
    return where[:16].lower().startswith(("http://", "https://", connections.SCHEME))


def parse(address: str, shown_as: str | None = None) -> httpx.URL:
    """The address, which names a host that can exist, and a port if any.

    Args:
        address: As it was given.
        shown_as: What it is called in the error; None: the address without its secrets.

    Raises:
        BadBatch: it is malformed.
    """
    try:
        url = httpx.URL(address)
        problem = _problem(url)
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: of a host's name that cannot be encoded.
        problem = str(error) if isinstance(error, httpx.InvalidURL) else "its host is malformed"
    if problem:
        raise BadBatch(
            f"{shown_as or shown(address)} is not a valid address: {problem}.", "Check the address in a browser."
        )
    return url


def _problem(url: httpx.URL) -> str:
    """What is wrong with an address that could be taken apart; empty: nothing."""
    if not url.host:
        return "it names no host"
    host = url.raw_host.decode("ascii")
    if ":" not in host and not all(map(_LABEL.fullmatch, host.removesuffix(".").split("."))):
        return "its host is malformed"
    if url.port is not None and not 0 < url.port < 2**16:
        return f"there is no port {url.port}"
    return ""


def shown(address: str) -> str:
    """An address as it may be shown: without a login, and without the values of parameters that are secrets."""
    if not is_address(address):
        return address
    try:
        url = httpx.URL(address)
        hidden = [(name, "***" if _is_secret(name) else value) for name, value in url.params.multi_items()]
        plain = url.copy_with(username=None, password=None)
        if url.host:
            return str(plain.copy_with(params=hidden) if hidden else plain).replace("%2A%2A%2A", "***")
    except (httpx.InvalidURL, ValueError):
        pass
    # Malformed: nobody can say which part is a secret, so only what cannot be one is left.
    place = re.split(r"[?#]", address, maxsplit=1)[0]
    return re.sub(r"//.*@", "//", place)[:200].encode("ascii", "backslashreplace").decode()


def _is_secret(name: str) -> bool:
    return _SECRET.search(_WORD.sub("-", name).lower()) is not None


def secrets_of(address: str) -> str:
    """What in an address is a secret, in words; empty: nothing.

    Raises:
        BadBatch: the address is malformed.
    """
    url = parse(address)
    if url.userinfo:
        return "a login"
    parameters = [name for name in url.params if _is_secret(name)]
    return f"the parameter {parameters[0]!r}, which grants access" if parameters else ""
