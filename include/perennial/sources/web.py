"""Files on the web: fetched whole to a temporary file, and looked at before anybody reads them as what they are not.

Whole, and not by ranges: a file that is replaced while it is read would give a mixture of both, and of CSV every byte
is needed anyway. What fails on the way is tried again; what a person has to mend is said at once. Credentials are those
of an Airflow connection, and go to its own server only.
"""

from __future__ import annotations

import logging
import re
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

log = logging.getLogger(__name__)
# Its line a request would show where a redirect leads: often an address that is a secret itself.
logging.getLogger("httpx").setLevel(logging.WARNING)

Format = Literal["csv", "parquet"]
#: Told how many bytes there are so far, and of how many, 0 if the server does not say.
Progress = Callable[[int, int], None]

#: No file larger than this is fetched, in bytes as it is on disk.
MOST = 50 * 2**30
#: How often it is tried, and how long an answer or the next bytes of it are waited for, in seconds.
_ATTEMPTS, _PATIENCE = 4, 60.0
_REDIRECTS = 5
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 2**20
#: Names of parameters of an address that open what is behind it.
_SECRET = re.compile(
    r"(^|[-_])(sig|signature|sas|token|jwt|bearer|key|accesskey|apikey|authkey|secret|pass|passwd|password|passphrase"
    r"|pwd|credentials?|auth|accesstoken|authtoken)($|[-_])"
)
#: Where a new word of a name in camel case begins.
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: What Airflow's HTTP hook takes from a connection's extras for itself; the others are headers.
_OF_THE_HOOK = {
    *("timeout", "verify", "verify_ssl", "proxies", "proxy", "stream", "cert", "max_redirects", "allow_redirects"),
    *("trust_env", "check_response", "srv_lookup"),
}


class _Silence(Exception):
    """No answer, or one that says to try again."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(why)


@dataclass(frozen=True)
class _Target:
    """What is asked for, and by what right."""

    url: httpx.URL
    auth: tuple[str, str] | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@contextmanager
def local(address: str, expected: Format | None = None, progress: Progress = lambda done, size: None) -> Iterator[str]:
    """A path where what an address names can be read, until the block ends; a path is given back as it is.

    Args:
        address: `https://...`, `http://...`, or `connection://CONNECTION_ID/PATH` of a connection of type HTTP.
        expected: What it has to be; None: CSV or Parquet.
        progress: Called with the bytes fetched and the size, where that is known.

    Raises:
        BadBatch: it is not there, may not be read, is too large, or is something else.
        ServiceUnavailable: the server did not answer, again and again.
        StorageFull: there is no room for it.
    """
    if not is_address(address):
        yield address
        return
    target = _target(address)
    with tempfile.TemporaryDirectory(prefix="perennial-web-") as folder:
        file = Path(folder) / "fetched"
        again = Retrying(
            retry=retry_if_exception_type(_Silence),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )
        try:
            again(_fetch, target, shown(address), file, progress)
        except _Silence as error:
            raise ServiceUnavailable(
                f"{shown(address)} cannot be fetched: {error}, {_ATTEMPTS} times.",
                "Look whether its server runs and is reached from here; then run the same again.",
            ) from error
        yield str(_named(file, shown(address), expected))


def is_address(where: str) -> bool:
    """Whether it is something that is fetched."""
    return where.startswith(("http://", "https://", connections.SCHEME))


def shown(address: str) -> str:
    """An address as it may be shown: without a login, and without the values of parameters that are secrets."""
    if not is_address(address):
        return address
    url = httpx.URL(address)
    hidden = [(name, "***" if _is_secret(name) else value) for name, value in url.params.multi_items()]
    url = url.copy_with(username=None, password=None)
    return str(url.copy_with(params=hidden) if hidden else url).replace("%2A%2A%2A", "***")


def _is_secret(name: str) -> bool:
    return _SECRET.search(_WORD.sub("-", name).lower()) is not None


def secrets_of(address: str) -> str:
    """What of an address is a secret, as people say it; empty: nothing."""
    url = httpx.URL(address)
    if url.userinfo:
        return "a login"
    found = [name for name in url.params if _is_secret(name)]
    return f"the parameter {found[0]!r}, which opens what is behind it" if found else ""


def _target(address: str) -> _Target:
    if not address.startswith(connections.SCHEME):
        url = httpx.URL(address)
        if url.userinfo:
            raise BadBatch(
                f"{shown(address)} is given with a login, which anybody would see who sees the address.",
                "Make an Airflow connection of type HTTP with it, and give connection://CONNECTION_ID/PATH.",
            )
        return _Target(url)
    connection_id, path = connections.parted(address)
    found = connections.find(connection_id)
    if not found.is_web:
        raise BadBatch(
            f"{address}: Airflow's connection {connection_id!r} is of type {found.kind!r}, no web server.",
            "Name a connection of type HTTP.",
        )
    # As Airflow's hook for HTTP reads it: the host may name the scheme, else the schema does.
    scheme = found.schema or ("https" if found.kind == "https" else "http")
    base = httpx.URL(found.host if "://" in found.host else f"{scheme}://{found.host}")
    if found.port:
        base = base.copy_with(port=found.port)
    headers = {name: str(value) for name, value in found.extra.items() if name not in _OF_THE_HOOK}
    auth = (found.login, found.password) if found.login else None
    return _Target(base.join(f"{base.path.rstrip('/')}/{path}"), auth, headers)


def _fetch(target: _Target, named: str, file: Path, progress: Progress) -> None:
    """Write what is there to `file`, through redirects."""
    agent = {"User-Agent": "perennial"}
    try:
        with httpx.Client(timeout=httpx.Timeout(_PATIENCE, connect=10.0), headers=agent) as client:
            for _ in range(_REDIRECTS + 1):
                with client.stream("GET", target.url, auth=target.auth, headers=target.headers) as answer:
                    if answer.is_redirect:
                        target = _moved(target, answer, named)
                        continue
                    _insist_on_success(answer, named)
                    with file.open("wb") as output:
                        _save(answer, named, output, progress)
                    return
    except httpx.TransportError as error:
        if _is_of_tls(error):
            raise BadBatch(
                f"{named} cannot be fetched safely: {error}.",
                "Have its server's certificate mended; one of an authority of your own is trusted by SSL_CERT_FILE.",
            ) from error
        silent = isinstance(error, httpx.TimeoutException)
        why = f"no answer within {_PATIENCE:.0f} s" if silent else str(error) or type(error).__name__
        raise _Silence(why) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.DecodingError) as error:
        raise BadBatch(f"{named} cannot be fetched: {error}.", "Check the address in a browser.") from error
    raise BadBatch(f"{named} leads from one address to the next, without an end.", "Give the address of the file.")


def _moved(target: _Target, answer: httpx.Response, named: str) -> _Target:
    """Where an answer sends one: never from https to http, and to another server without credentials."""
    there = target.url.join(answer.headers["location"]).copy_with(username=None, password=None)
    place = f"{there.scheme}://{there.host}"
    if there.scheme not in ("http", "https") or (target.url.scheme, there.scheme) == ("https", "http"):
        raise BadBatch(
            f"{named} has moved to {place}, which is not as safe and is not followed.",
            "If it is there for good, give that address.",
        )
    origins = [(each.scheme, each.host, each.port) for each in (target.url, there)]
    is_same = origins[0] == origins[1]
    log.info("%s leads to %s", named, place)
    return _Target(there, target.auth, target.headers) if is_same else _Target(there)


def _insist_on_success(answer: httpx.Response, named: str) -> None:
    code = answer.status_code
    if answer.is_success:
        return
    said = f"{code} {answer.reason_phrase}".strip()
    if code in _AGAIN:
        after = answer.headers.get("retry-after", "")
        raise _Silence(f"the server answers {said}", float(after) if after.isdecimal() else 0.0)
    if code in (404, 410):
        raise BadBatch(f"{named} is not there: the server answers {said}.", "Look where it is now, and give that.")
    if code in (401, 403, 407):
        raise BadBatch(
            f"{named} may not be read: the server answers {said}.",
            "Make an Airflow connection of type HTTP whose login may, and give connection://CONNECTION_ID/PATH.",
        )
    raise BadBatch(f"{named} cannot be fetched: the server answers {said}.", "Check the address in a browser.")


def _save(answer: httpx.Response, named: str, output: IO[bytes], progress: Progress) -> None:
    length = answer.headers.get("content-length", "")
    size, saved = int(length) if length.isdecimal() else 0, 0
    free = shutil.disk_usage(tempfile.gettempdir()).free
    for chunk in [b""] if size > min(MOST, free) else answer.iter_bytes(_CHUNK):
        saved += len(chunk)
        if max(saved, size) > MOST:
            raise BadBatch(
                f"{named} is larger than {MOST / 2**30:.0f} GiB, and is not fetched.",
                "Put it as Parquet where it can be read in part: into a folder, or into S3.",
            )
        if max(saved, size) > free:
            raise StorageFull(
                f"{named} does not fit into {tempfile.gettempdir()}, where {free / 2**20:.0f} MiB are free.",
                "Make room, or set TMPDIR to a folder with more.",
            )
        output.write(chunk)
        progress(answer.num_bytes_downloaded, size)


def _named(file: Path, named: str, expected: Format | None) -> Path:
    """The file with the ending that tells what it holds, of which its first bytes speak."""
    with file.open("rb") as opened:
        head = opened.read(512)
    found: Format = "parquet" if head.startswith(b"PAR1") else "csv"
    what = ""
    if not head:
        what = "empty"
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        what = "a page, perhaps one that asks for a login, and no data"
    elif head.startswith(b"PK\x03\x04"):
        what = "a ZIP archive, which is not read"
    elif expected not in (None, found):
        what = f"{'a Parquet file' if found == 'parquet' else 'no Parquet file'}, and was expected to be {expected}"
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
    """Seconds until the next try: as long as the server says, or longer and longer."""
    said = 0.0
    with suppress(AttributeError):
        said = state.outcome.exception().wait  # type: ignore[union-attr]
    return min(30.0, max(said, waiting(multiplier=0.5, max=10)(state)))
