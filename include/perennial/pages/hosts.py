"""Answers requests for the names that Airflow is known by, and no other: a middleware of all of its API server.

A page of another site may resolve its own name to this machine (DNS rebinding). The browser then takes Airflow for a
part of that site; but it sends that site's name, by which the request is known and rejected.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from perennial.settings import settings

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def allowed_hosts() -> list[str]:
    """Loopback, the hosts of Airflow's configured addresses, and those of `PERENNIAL_AIRFLOW_ALLOWED_HOSTS`."""
    where = settings()
    addresses = (
        where.airflow_uri,
        where.airflow_public_uri,
        conf.get("api", "base_url", fallback=""),
        conf.get("core", "execution_api_server_url", fallback=""),
    )
    hosts = (urlsplit(address).hostname or "" for address in addresses)
    configured = (f"[{host}]" if ":" in host else host for host in hosts if host)
    return sorted({*_LOOPBACK, *configured, *where.airflow_allowed_hosts})


def for_allowed_hosts(app: ASGIApp) -> ASGIApp:
    """An application that answers other hosts' requests with 400."""
    return TrustedHostMiddleware(app, allowed_hosts(), www_redirect=False)
