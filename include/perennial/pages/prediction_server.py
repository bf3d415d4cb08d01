"""Calls the prediction server in the name of the person who asked for a page, with that person's token of Airflow.

The server asks Airflow what the token may do. So a page can ask for no prediction that the person could not ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import Request

from perennial.pages._compat import COOKIE_NAME_JWT_TOKEN
from perennial.serving import requests, server_address

#: Seconds that a page waits for the server.
_PATIENCE = 10.0


@dataclass(frozen=True)
class RequestForm:
    """What a request for predictions of a use case holds, as the server describes it.

    Attributes:
        properties: The fields of an example, by name: their JSON Schema.
        required: Those that every example has.
        example: A request that works, a real one; empty: there is none.
    """

    properties: dict[str, dict[str, Any]]
    required: frozenset[str]
    example: dict[str, Any]

    @classmethod
    def of(cls, description: dict[str, Any], use_case: str) -> RequestForm | None:
        """The form of a use case's requests; None where nothing serves it, or the person may not ask it.

        Args:
            description: The server's OpenAPI document.
            use_case: Its name.
        """
        described = requests.described(description, use_case)
        if described is None:
            return None
        schema, example = described
        return cls(schema["properties"], frozenset(schema["required"]), example)


async def call(request: Request, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    """The server's response to the person's call, also if it is a refusal.

    Args:
        request: The request that this call serves: the person's token is taken from it.
        method: Such as `POST`.
        path: Such as `/openapi.json`, quoted.
        body: Sent as JSON.

    Raises:
        ServiceUnavailable: there is no server, none answers, or another account's program does.
    """
    address = server_address.checked()
    try:
        async with httpx.AsyncClient(base_url=address, headers=_authorization(request), timeout=_PATIENCE) as server:
            return await server.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise server_address.no_answer(error) from error


def _authorization(request: Request) -> dict[str, str]:
    sent = request.headers.get("authorization")
    if sent:
        return {"Authorization": sent}
    token = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else {}
