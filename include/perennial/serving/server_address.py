"""The prediction server's address, for who asks it; and what to say where no server answers."""

from __future__ import annotations

import httpx

from perennial.errors import ServiceUnavailable
from perennial.services import listeners
from perennial.settings import settings


def checked() -> str:
    """The address at PERENNIAL_SERVING_URI, to which a token may be sent.

    Raises:
        ServiceUnavailable: there is no server by that setting, or another account's program listens there.
    """
    address = settings().serving_uri
    if address == "none":
        raise ServiceUnavailable(
            "PERENNIAL_SERVING_URI is none: there is no prediction server.",
            "Set it to the address of one; or unset it, and `perennial up` starts one on this machine.",
        )
    listeners.check_ours(address)
    return address


def no_answer(error: httpx.HTTPError) -> ServiceUnavailable:
    """The error to raise where the server at that address does not answer.

    Args:
        error: What came of the request.
    """
    return ServiceUnavailable(
        f"No prediction server answers at {settings().serving_uri} ({type(error).__name__}).",
        "Start it: `perennial up`, or `perennial serve` where it runs by itself.",
    )
