"""The web application that serves Perennial's pages inside Airflow's API server, behind Airflow's access control."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from perennial.errors import PerennialError, ServiceUnavailable
from perennial.pages import (
    actions,
    fleet,
    incidents,
    links,
    metrics,
    partition,
    quarantine,
    reports,
    serving,
    use_case,
    validation,
    version,
)
from perennial.pages._compat import get_user
from perennial.pages.layout import STATIC, page, root
from perennial.pages.requests import check_address

#: For every route but that of the metrics: without a login there is no page, no file, no error that reveals anything.
_FIRST = [Depends(get_user), Depends(check_address), Depends(fleet.warm_up)]
app = FastAPI(title="Perennial", openapi_url=None, dependencies=_FIRST)
# Alone among all routes it takes a service token in place of a login.
app.router.routes.extend(metrics.router.routes)
app.include_router(actions.router)
app.include_router(fleet.router)
app.include_router(incidents.router)
app.include_router(links.router)
app.include_router(validation.router)
app.include_router(partition.router)
app.include_router(quarantine.router)
app.include_router(reports.router)
app.include_router(serving.router)
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


@app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def no_page(request: Request, path: str) -> Response:
    """Whatever else is asked for: without a login, it is not even told that it does not exist.

    Args:
        request: Its query is kept where a slash too many is taken away.
        path: What was asked for.

    Raises:
        HTTPException: 404, there is no such page; 405, it cannot be asked for in this way.
    """
    if request.method != "GET":
        raise HTTPException(405, f"{request.method} is not answered here.")
    if not path.endswith("/"):
        raise HTTPException(404, f"There is no page {path!r}.")
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{root(request)}/{quote(path.strip('/'))}{query}", 307)


@app.exception_handler(StarletteHTTPException)
def http_error(request: Request, error: StarletteHTTPException) -> HTMLResponse:
    """An HTTP error as a page.

    Args:
        request: The request that it answers.
        error: Its status and its detail.
    """
    return page(request, "error", error.status_code, status=error.status_code, problem=error.detail, fix="")


@app.exception_handler(RequestValidationError)
def invalid_request(request: Request, error: RequestValidationError) -> HTMLResponse:
    """What is wrong with the parameters of an address, as a page.

    Args:
        request: The request that it answers.
        error: A problem for each parameter.
    """
    problems = (f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
    return page(request, "error", 422, status=422, problem="; ".join(problems), fix="")


@app.exception_handler(PerennialError)
def library_error(request: Request, error: PerennialError) -> HTMLResponse:
    """An error of the library as a page: what is wrong, and how to fix it.

    Args:
        request: The request that it answers.
        error: A service that does not answer, or something that does not exist.
    """
    status = 503 if isinstance(error, ServiceUnavailable) else 404
    return page(request, "error", status, status=status, problem=error.problem, fix=error.fix)
