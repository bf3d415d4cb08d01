"""Tells whether what listens at an address of this machine may be our server: a login is not sent to anybody else's.

While a server is stopped, any local account can listen at its port, and would be handed the login of whoever calls.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from perennial.errors import ServiceUnavailable
from perennial.settings import settings

#: Linux' tables of TCP sockets; where they are not there, nothing is known and nothing is refused.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
#: The state of a socket that listens.
_LISTENS = "0A"
#: Seconds for which a server of ours is trusted without another look: the kernel's tables take milliseconds to read.
_TRUSTED = 1.0
_last_looks: dict[str, float] = {}


def check_ours(address: str) -> None:
    """Fail if another account's program listens where a server of this machine should.

    Args:
        address: Such as `http://127.0.0.1:8080`; one of another machine is not looked at.

    Raises:
        ServiceUnavailable: another account than root, this one and the home's owner listens there.
    """
    parts = urlsplit(address)
    if parts.port is None or not _is_loopback(parts.hostname or ""):
        return
    now = time.monotonic()
    if now - _last_looks.get(address, -_TRUSTED) < _TRUSTED:
        return
    allowed = {0, os.geteuid()}
    if settings().home.exists():
        allowed.add(settings().home.stat().st_uid)
    listening = list(_listening(parts.port))
    for uid in listening:
        if uid not in allowed:
            raise ServiceUnavailable(
                f"At {address} a program of another account (user id {uid}) listens, not ours; the login was not sent.",
                "Ask whose it is, or choose another port (PERENNIAL_AIRFLOW_PORT, PERENNIAL_MLFLOW_PORT);"
                " then `perennial up`.",
            )
    if listening:
        _last_looks[address] = now


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(port: int) -> Iterator[int]:
    """The accounts whose sockets take connections of this machine at a port."""
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            host, _, number = fields[1].partition(":")
            if fields[3] == _LISTENS and int(number, 16) == port and _reaches_loopback(host):
                yield int(fields[7])


def _reaches_loopback(host: str) -> bool:
    """Whether a socket bound to an address, as the kernel writes it, takes connections to this machine itself."""
    words = [host[start : start + 8] for start in range(0, len(host), 8)]
    packed = b"".join(int(word, 16).to_bytes(4, "little") for word in words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    bound = ip_address(socket.inet_ntop(family, packed))
    mapped = bound.ipv4_mapped if isinstance(bound, IPv6Address) else None
    return any(each.is_loopback or each.is_unspecified for each in (bound, mapped) if each is not None)
