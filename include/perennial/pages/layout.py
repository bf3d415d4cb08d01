"""What all pages share: their layout, how numbers and times are written, and what a browser may do with them.

Pages are made on the server and can be read without a script. Whatever came from data is escaped. Nothing is loaded
from anywhere else: style, scripts and the charts' library (uPlot) are files of this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from perennial.monitoring.verdict import FIRST_MODEL
from perennial.registry.deployments import NOTHING
from perennial.settings import settings
from perennial.telemetry.costs import amount

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
#: Only files of this package are loaded, no script is inline, and no other site may frame a page.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def page(request: Request, template: str, status_code: int = 200, /, **content: Any) -> HTMLResponse:
    """A page as an answer.

    Args:
        request: The request that it answers; tells where Airflow is mounted, and whether its UI shows the page.
        template: Name of a file in `templates/`, without `.html.jinja`.
        status_code: The HTTP status.
        content: What the template shows.
    """
    return HTMLResponse(render(template, **_addresses(request), **content), status_code, headers=HEADERS)


def render(template: str, /, **content: Any) -> str:
    """A page as HTML, from `templates/<template>.html.jinja`."""
    return _environment().get_template(f"{template}.html.jinja").render(_DETACHED | content)


#: The addresses of a page that answers no request.
_DETACHED: dict[str, Any] = {"root": "/perennial", "airflow": "", "framed": False}


def root(request: Request) -> str:
    """What the addresses of Perennial's pages begin with, wherever Airflow is mounted."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def version_colour(version: int | None) -> str:
    """The colour that a version has on every page, of those in perennial.css: eight of them, in turn."""
    return f"v{(version - 1) % 8}" if version else "v-none"


def _addresses(request: Request) -> dict[str, Any]:
    """The addresses that Perennial's and Airflow's pages begin with, and whether Airflow's UI is around this one."""
    base = root(request)
    framed = request.headers.get("sec-fetch-dest") == "iframe"
    return {"root": base, "airflow": base.removesuffix("/perennial"), "framed": framed}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "version_colour": version_colour,
        "moment": moment,
        "ago": ago,
        "count": count,
        "value": value,
        "share": share,
        "signed": signed,
        "amount": amount,
    }
    environment.globals |= {"static": _versioned, "NOTHING": NOTHING, "FIRST_MODEL": FIRST_MODEL}
    environment.globals["environment"] = settings().environment
    return environment


@cache
def _versioned(name: str) -> str:
    """A file of `static/` with the digest of its content: a browser may keep it for good."""
    return f"static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def moment(when: datetime | None) -> str:
    """A moment in UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when else NOTHING


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """How long ago, or how far ahead, a moment is, in its largest unit: `3 days ago`, `in 2 hours`.

    Args:
        when: The moment; None is written as a dash.
        now: The present; None: the clock's.
    """
    if when is None:
        return NOTHING
    distance = (now or datetime.now(UTC)) - when
    units: Mapping[str, timedelta] = {
        "day": timedelta(days=1),
        "hour": timedelta(hours=1),
        "minute": timedelta(minutes=1),
    }
    for name, length in units.items():
        if (many := abs(distance) // length) >= 1:
            span = f"{many} {name}{'s' if many > 1 else ''}"
            return f"{span} ago" if distance > timedelta(0) else f"in {span}"
    return "just now"


def count(number: float | None) -> str:
    """A whole number with thousands separators."""
    return f"{number:,.0f}" if number is not None else NOTHING


def value(number: float | None) -> str:
    """A metric with four decimals; large and tiny numbers with fewer digits."""
    if number is None or number != number:
        return NOTHING
    if _is_tiny(number):
        return f"{number:.3g}"
    return f"{number:.4f}" if abs(number) < 10 else f"{number:,.4g}" if abs(number) < 1e4 else f"{number:,.0f}"


def signed(number: float | None) -> str:
    """A difference of metrics, with its sign."""
    if number is None:
        return NOTHING
    return f"{number:+.3g}" if _is_tiny(number) else f"{number:+.4f}"


def _is_tiny(number: float) -> bool:
    return 0 < abs(number) < 1e-3


def share(number: float | None) -> str:
    """A share of one, in percent."""
    return f"{number * 100:.3g}%" if number is not None and number == number else NOTHING
