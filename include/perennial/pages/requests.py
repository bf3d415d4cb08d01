"""Rejects requests that no page can take, in one place: malformed text in addresses and forms, forms of another type.

Each is answered with a status of 4xx and a sentence, after the check of the login: who has none learns nothing.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException, Request

#: No name or reason has these: control characters, halves of characters, and what stands for bytes that are not UTF-8.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffd]")
#: The longest part of an address, in characters.
_LONGEST = 1000
#: The largest form, in bytes, and the most fields in it.
_LARGEST, _MOST = 2**16, 100
_FORM = "application/x-www-form-urlencoded"


def check_address(request: Request) -> None:
    """Check that a request's path and query are text.

    Raises:
        HTTPException: 400, they are not.
    """
    parts = [request.scope["path"], *(part for pair in request.query_params.multi_items() for part in pair)]
    if any(_NO_TEXT.search(part) for part in parts):
        raise HTTPException(400, "The address holds a control character, or bytes that are not UTF-8.")
    if max(map(len, parts)) > _LONGEST:
        raise HTTPException(400, f"A part of the address has more than {_LONGEST} characters.")


async def sent_fields(request: Request) -> dict[str, str]:
    """What was typed into a form, by the name of the field.

    Raises:
        HTTPException: 400, it is malformed; 413, it is too large; 415, it is no form as browsers send it.
    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LARGEST:
            raise HTTPException(413, f"The form is larger than {_LARGEST // 1024} KiB.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content and kind != _FORM:
        raise HTTPException(415, f"A form is sent as {_FORM}.")
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError as error:  # Of bytes that are not UTF-8, or of too many fields.
        raise HTTPException(400, f"The form is not UTF-8, or has more than {_MOST} fields.") from error
    fields = dict(pairs)
    if any(_NO_TEXT.search(part) for pair in fields.items() for part in pair):
        raise HTTPException(400, "The form holds a control character.")
    return fields


def host_of(address: str) -> str:
    """Host and port of an address; empty: it is malformed, or has none."""
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""
