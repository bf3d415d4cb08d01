"""The web application that serves Perennial's pages inside Airflow's API server, behind Airflow's access control."""

from __future__ import annotations

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.pages import actions, fleet, links, partition, quarantine, reports, use_case, validation, version
from perennial.pages._compat import get_user
from perennial.pages.layout import STATIC, page

#: For every route: without a login there is no page, no file, and no error that reveals anything.
app = FastAPI(title="Perennial", openapi_url=None, dependencies=[Depends(get_user), Depends(fleet.warm_up)])
app.include_router(actions.router)
app.include_router(fleet.router)
app.include_router(links.router)
app.include_router(validation.router)
app.include_router(partition.router)
app.include_router(quarantine.router)
app.include_router(reports.router)
app.include_router(version.router)
app.include_router(use_case.router)


@app.get("/static/{name:path}")
def static(name: str) -> Response:
    """Styles, scripts and the charts' library, cached by the browser: their addresses carry their digests.

    Raises:
        HTTPException: 404, there is no such file.
    """
    file = STATIC / name
    if name not in {str(each.relative_to(STATIC)) for each in STATIC.rglob("*") if each.is_file()}:
        raise HTTPException(404, f"There is no file {name!r}.")
    return FileResponse(file, headers={"Cache-Control": "private, max-age=31536000, immutable"})


@app.exception_handler(StarletteHTTPException)
def http_error(request: Request, error: StarletteHTTPException) -> HTMLResponse:
    """An HTTP error as a page.

    Args:
        request: The request that it answers.
        error: Its status and its detail.
    """
    return page(request, "error", error.status_code, status=error.status_code, problem=error.detail, fix="")


@app.exception_handler(PerennialError)
def library_error(request: Request, error: PerennialError) -> HTMLResponse:
    """An error of the library as a page: what is wrong, and how to fix it.

    Args:
        request: The request that it answers.
        error: A service that does not answer, or something that does not exist.
    """
    status = 503 if isinstance(error, ServiceUnavailable) else 404
    return page(request, "error", status, status=status, problem=error.problem, fix=error.fix)
