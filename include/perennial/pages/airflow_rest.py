"""Calls Airflow's REST API inside its own server, in the name of the person who asked for a page.

The call passes through all of Airflow's own application: its login, its permissions, its checks, its audit log. So a
page can do nothing that the person could not do without it.
"""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import Request

#: Where the plugin leaves Airflow's application for the pages inside it.
AIRFLOW = "perennial.airflow"
#: Headers that say who the person is, and that they did it on a page, which Airflow notes on a run.
_FORWARDED = (b"authorization", b"cookie", b"referer", b"user-agent")


async def call(request: Request, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """Airflow's response to the person's call, also if it is a refusal.

    Args:
        request: The request that this call serves: the person is taken from it.
        method: Such as `POST`.
        path: Below `/api/v2`, quoted.
        body: Sent as JSON.
    """
    # As bytes: a browser's name for itself need not be ASCII.
    headers = [(name, value) for name, value in request.headers.raw if name in _FORWARDED]
    client = (request.client.host, request.client.port) if request.client else ("127.0.0.1", 0)
    transport = httpx.ASGITransport(request.scope[AIRFLOW], raise_app_exceptions=False, client=client)
    address = f"{request.url.scheme}://{request.url.netloc}"
    async with httpx.AsyncClient(transport=transport, base_url=address, headers=headers) as airflow:
        return await airflow.request(method, f"/api/v2{path}", json=body)
