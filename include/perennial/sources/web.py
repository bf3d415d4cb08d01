"""Fetches files from the web into a temporary file, and checks their content before they are read.

They are fetched as a whole and not by ranges: a file that is replaced between two range requests would give a mixture
of both, and every byte of a CSV file is needed anyway. Transient errors are retried; an error that a person has to fix
is raised at once. Credentials are those of an Airflow connection, and are sent to its own server only.
"""

from __future__ import annotations

import logging
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import httpx
from tenacity import RetryCallState, Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt
from tenacity import wait_random_exponential as waiting

from perennial.errors import BadBatch, ServiceUnavailable, StorageFull
from perennial.sources import connections
from perennial.sources.web_address import is_address, parse, shown

log = logging.getLogger(__name__)
# It logs the target of each redirect, which is often an address with a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

Format = Literal["csv", "parquet"]
#: Called with the number of bytes so far and the total, 0 if the server does not send it.
Progress = Callable[[int, int], None]

#: Larger files are not fetched; in bytes on disk.
MOST = 50 * 2**30
#: Number of attempts, and how long to wait for a response or its next bytes, in seconds.
_ATTEMPTS, _PATIENCE = 4, 60.0
_REDIRECTS = 5
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 2**20
#: Extras of a connection that Airflow's HTTP hook uses itself; the others are headers.
_OF_THE_HOOK = {
    *("timeout", "verify", "verify_ssl", "proxies", "proxy", "stream", "cert", "max_redirects", "allow_redirects"),
    *("trust_env", "check_response", "srv_lookup"),
}


class _NoResponse(Exception):
    """No response, or one after which the request should be retried."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(why)


@dataclass(frozen=True)
class _Target:
    """The URL to fetch, and the credentials for it."""

    url: httpx.URL
    auth: tuple[str, str] | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@contextmanager
def local(address: str, expected: Format | None = None, progress: Progress = lambda done, size: None) -> Iterator[str]:
    """A path at which the file of an address can be read until the block ends; a path is returned unchanged.

    Args:
        address: `https://...`, `http://...`, or `connection://CONNECTION_ID/PATH` of a connection of type HTTP.
        expected: The format it must have; None: CSV or Parquet.
        progress: Called with the bytes fetched and the size, if that is known.

    Raises:
        BadBatch: It does not exist, may not be read, is too large, or has another format.
        ServiceUnavailable: The server did not answer, after several attempts.
        StorageFull: There is not enough space for it.
    """
    if not is_address(address):
        yield address
        return
    target = _target(address)
    with tempfile.TemporaryDirectory(prefix="perennial-web-") as folder:
        file = Path(folder) / "fetched"
        again = Retrying(
            retry=retry_if_exception_type(_NoResponse),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )
        try:
            again(_fetch, target, shown(address), file, progress)
        except _NoResponse as error:
            raise ServiceUnavailable(
                f"{shown(address)} cannot be fetched: {error}, {_ATTEMPTS} times.",
                "Check that its server is running and can be reached from here; then run the same command again.",
            ) from error
        yield str(_named(file, shown(address), expected))


def _target(address: str) -> _Target:
    if not address.startswith(connections.SCHEME):
        url = parse(address)
        if url.userinfo:
            raise BadBatch(
                f"{shown(address)} contains a login, which anybody who sees the address could read.",
                "Create an Airflow connection of type HTTP with that login, and give connection://CONNECTION_ID/PATH.",
            )
        return _Target(url)
    connection_id, path = connections.split_address(address)
    found = connections.find(connection_id)
    if not found.is_web:
        raise BadBatch(
            f"{address}: Airflow's connection {connection_id!r} is of type {found.kind!r}, not a web server.",
            "Name a connection of type HTTP.",
        )
    # Like Airflow's HTTP hook: the scheme is part of the host, or else it is the connection's schema.
    scheme = found.schema or ("https" if found.kind == "https" else "http")
    named = f"The host of Airflow's connection {connection_id!r}"
    base = parse(found.host if "://" in found.host else f"{scheme}://{found.host}", named)
    if found.port:
        base = parse(str(base.copy_with(port=found.port)), named)
    headers = {name: str(value) for name, value in found.extra.items() if name not in _OF_THE_HOOK}
    auth = (found.login, found.password) if found.login else None
    # Not two slashes: what comes after them would be another host, and get the login.
    return _Target(base.join(f"{base.path.rstrip('/')}/{path.lstrip('/')}"), auth, headers)


def _fetch(target: _Target, named: str, file: Path, progress: Progress) -> None:
    """Download the target to `file`, following redirects."""
    agent = {"User-Agent": "perennial"}
    try:
        with httpx.Client(timeout=httpx.Timeout(_PATIENCE, connect=10.0), headers=agent) as client:
            for _ in range(_REDIRECTS + 1):
                with client.stream("GET", target.url, auth=target.auth, headers=target.headers) as answer:
                    if answer.is_redirect:
                        target = _moved(target, answer, named)
                        continue
                    _check_status(answer, named)
                    with file.open("wb") as output:
                        _save(answer, named, output, progress)
                    return
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.DecodingError, UnicodeError) as error:
        raise BadBatch(f"{named} cannot be fetched: {error}.", "Check the address in a browser.") from error
    except httpx.TransportError as error:
        if isinstance(error.__context__, httpx.InvalidURL):  # httpx parses it though it does not follow it.
            raise BadBatch(
                f"The redirect target of {named} is not a valid address.", "Check the address in a browser."
            ) from error
        if _is_of_tls(error):
            raise BadBatch(
                f"{named} cannot be fetched safely: {error}.",
                "Have its server's certificate corrected; set SSL_CERT_FILE to trust your own certificate authority.",
            ) from error
        silent = isinstance(error, httpx.TimeoutException)
        why = f"no answer within {_PATIENCE:.0f} s" if silent else str(error) or type(error).__name__
        raise _NoResponse(why) from error
    raise BadBatch(f"{named} redirects too many times.", "Give the address of the file itself.")


def _moved(target: _Target, answer: httpx.Response, named: str) -> _Target:
    """The target of a redirect: never from https to http, and without credentials for another server."""
    location = answer.headers.get("location")
    if not location:
        raise BadBatch(
            f"{named} cannot be fetched: the server answers {_status(answer)}, but not where to redirect to.",
            "Check the address in a browser.",
        )
    # Only its host is shown: the rest of a redirect's target is often a secret.
    there = target.url.join(location).copy_with(username=None, password=None)
    place = f"{there.scheme}://{there.host}"
    if there.scheme not in ("http", "https") or (target.url.scheme, there.scheme) == ("https", "http"):
        raise BadBatch(
            f"{named} redirects to {place}, which is less secure, so the redirect is not followed.",
            "If the file has moved there permanently, give that address.",
        )
    there = parse(str(there), f"The redirect target of {named}")
    origins = [(each.scheme, each.host, each.port) for each in (target.url, there)]
    is_same = origins[0] == origins[1]
    log.info("%s redirects to %s", named, place)
    return _Target(there, target.auth, target.headers) if is_same else _Target(there)


def _status(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.reason_phrase}".strip()


def _check_status(answer: httpx.Response, named: str) -> None:
    code = answer.status_code
    if answer.is_success:
        return
    status = _status(answer)
    if code in _AGAIN:
        after = answer.headers.get("retry-after", "")
        raise _NoResponse(f"the server answers {status}", float(after) if after.isdecimal() else 0.0)
    if code in (404, 410):
        raise BadBatch(f"{named} was not found: the server answers {status}.", "Give its present address.")
    if code in (401, 403, 407):
        raise BadBatch(
            f"{named} may not be read: the server answers {status}.",
            "Create an Airflow connection of type HTTP whose login may read it, and give connection://CONNECTION_ID/PATH.",
        )
    raise BadBatch(f"{named} cannot be fetched: the server answers {status}.", "Check the address in a browser.")


def _save(answer: httpx.Response, named: str, output: IO[bytes], progress: Progress) -> None:
    length = answer.headers.get("content-length", "")
    size, saved = int(length) if length.isdecimal() and len(length) < 20 else 0, 0
    free = shutil.disk_usage(tempfile.gettempdir()).free
    for chunk in [b""] if size > min(MOST, free) else answer.iter_bytes(_CHUNK):
        saved += len(chunk)
        if max(saved, size) > MOST:
            raise BadBatch(
                f"{named} is larger than {MOST / 2**30:.0f} GiB, and is not fetched.",
                "Store it as Parquet in a folder or in S3, from where it can be read in part.",
            )
        if max(saved, size) > free:
            raise StorageFull(
                f"{named} does not fit into {tempfile.gettempdir()}, where {free / 2**20:.0f} MiB are free.",
                "Free some space, or set TMPDIR to a folder with more.",
            )
        output.write(chunk)
        progress(answer.num_bytes_downloaded, size)


def _named(file: Path, named: str, expected: Format | None) -> Path:
    """The file, renamed with the extension of its format, which is recognized by its first bytes."""
    with file.open("rb") as opened:
        head = opened.read(512)
    found: Format = "parquet" if head.startswith(b"PAR1") else "csv"
    what = ""
    if not head:
        what = "empty"
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        what = "a web page instead of data, perhaps a login page"
    elif head.startswith(b"PK\x03\x04"):
        what = "a ZIP archive, which is not supported"
    elif expected not in (None, found):
        what = f"{'a Parquet file' if found == 'parquet' else 'not a Parquet file'}, but {expected} was expected"
    if what:
        raise BadBatch(f"{named} is {what}.", "Give the address of one CSV (also .csv.gz) or Parquet file.")
    packed = ".gz" if head.startswith(b"\x1f\x8b") else ".zst" if head.startswith(b"\x28\xb5\x2f\xfd") else ""
    return file.rename(file.with_suffix(f".{found}{packed}"))


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: as long as the server requests, or with exponential backoff."""
    requested = 0.0
    with suppress(AttributeError):
        requested = state.outcome.exception().wait  # type: ignore[union-attr]
    return min(30.0, max(requested, waiting(multiplier=0.5, max=10)(state)))
