"""A use case's incidents: as JSON for programs, and acknowledged by a person in their own name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response

from perennial.alerts import incidents
from perennial.alerts.incidents import SEVERITIES, Incident
from perennial.errors import InvalidParams
from perennial.pages._compat import GetUserDep
from perennial.pages.access import UseCaseDep, from_our_own_page, may_acknowledge
from perennial.pages.layout import HEADERS, root
from perennial.pages.requests import sent_fields

router = APIRouter(prefix="/use_cases/{use_case}/incidents")

#: Closed ones that the use case's page shows.
CLOSED = 10
#: The longest note, in characters.
LONGEST = 500


@router.get("")
def show(use_case: UseCaseDep, closed: bool = False) -> JSONResponse:
    """The open incidents of the use case as JSON, the newest first.

    Args:
        use_case: Whose.
        closed: With those that are closed.
    """
    known = incidents.of([use_case.name])[use_case.name]
    shown = [each.as_json() for each in reversed(known) if each.is_open or closed]
    return JSONResponse({"incidents": shown}, headers=HEADERS)


@router.post("/{incident}/acknowledge", dependencies=[Depends(from_our_own_page), Depends(may_acknowledge)])
async def acknowledge(request: Request, use_case: UseCaseDep, user: GetUserDep, incident: str) -> Response:
    """Record that the person has seen an incident, with the field `note`, and lead back to the use case's page.

    Args:
        request: Its form is what was typed.
        use_case: Whose.
        user: Who is logged in.
        incident: The id.

    Raises:
        HTTPException: 404, the use case has no such incident; 409, it is closed; 422, the note is missing or too long.
    """
    note = (await sent_fields(request)).get("note", "").strip()
    if not 0 < len(note) <= LONGEST:
        raise HTTPException(422, f"Say in at most {LONGEST} characters what you know of it, or do about it.")
    await run_in_threadpool(_acknowledge, use_case.name, incident, user.get_name(), note)
    return RedirectResponse(f"{root(request)}/use_cases/{use_case.name}#incidents", 303)


def _acknowledge(use_case: str, incident: str, by: str, note: str) -> None:
    known = {each.id: each for each in incidents.of([use_case])[use_case]}
    if incident not in known:
        raise HTTPException(404, f"The use case {use_case} has no incident {incident!r}.")
    try:
        incidents.acknowledge(incident, by, note, use_case)
    except InvalidParams as error:  # It was closed meanwhile.
        raise HTTPException(409, str(error)) from error


def view(known: Sequence[Incident]) -> dict[str, Any]:
    """What the use case's page shows of its incidents.

    Args:
        known: All of them, oldest first.
    """
    newest = [each for each in reversed(known) if each.is_open]
    return {
        "incidents": sorted(newest, key=lambda each: SEVERITIES.index(each.latest.severity)),
        "closed_incidents": [each for each in reversed(known) if not each.is_open][:CLOSED],
        "longest_note": LONGEST,
    }
