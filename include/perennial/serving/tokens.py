"""Service tokens: what a program shows to the prediction server; only their digests are stored."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
from filelock import FileLock

from perennial.errors import InvalidParams, PerennialError
from perennial.services.credentials import write_private
from perennial.settings import settings

#: How a token begins, by which people and scanners of leaked secrets know it.
PREFIX = "perennial_"
_LENGTH = len(PREFIX) + len(secrets.token_urlsafe(32))
_FILE = "serving_tokens.json"
_NAME = re.compile(r"[\w.@-]{1,64}")


class Rate(msgspec.Struct, frozen=True):
    """How often a token may ask.

    Attributes:
        requests: How many at most, at once and in each period.
        seconds: The period.
    """

    requests: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.requests}/{next(unit for unit, seconds in _UNITS.items() if seconds == self.seconds)}"


_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_rate(text: str) -> Rate:
    """A rate as people write it: `100/s`, `600/m` or `5000/h`.

    Raises:
        InvalidParams: it is none.
    """
    count, _, unit = text.partition("/")
    if unit not in _UNITS or not (count.isascii() and count.isdecimal()) or not 0 < int(count) < 10**6:
        raise InvalidParams(f"{text!r} is no rate.", "Write it as 100/s, 600/m or 5000/h.")
    return Rate(int(count), _UNITS[unit])


class ServiceToken(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a token.

    Attributes:
        name: By which it is listed and revoked.
        digest: SHA-256 of the token, which is random and long: no salt is needed.
        use_cases: The use cases that it may ask; None: all.
        created: When it was made (UTC).
        expires: From when on it is refused (UTC); None: never.
        rate: How often it may ask; None: as often as the server answers.
        may_pin: Whether it may ask for another version than the one that serves.
        may_push: Whether it may push rows of feature tables.
        only_metrics: Whether it may read `/metrics`, of the pipelines too, and nothing else.
    """

    name: str
    digest: str
    use_cases: tuple[str, ...] | None
    created: datetime
    expires: datetime | None
    rate: Rate | None = None
    may_pin: bool = False
    may_push: bool = False
    only_metrics: bool = False

    def is_valid(self, now: datetime) -> bool:
        """Whether it has not expired at a moment (UTC)."""
        return self.expires is None or now < self.expires

    def may_ask(self, use_case: str) -> bool:
        """Whether it may ask for predictions of this use case."""
        return not self.only_metrics and self.covers(use_case)

    def covers(self, use_case: str) -> bool:
        """Whether it is for this use case."""
        return self.use_cases is None or use_case in self.use_cases


def path() -> Path:
    """The file with the digests, readable by its owner only."""
    return settings().home / _FILE


def prepare() -> None:
    """Make the file, where there is none: by it others know that a server reads tokens in this home."""
    if not path().exists():
        _change(lambda tokens: tokens)


def create(
    name: str,
    use_cases: Sequence[str] = (),
    lifetime: timedelta | None = None,
    *,
    rate: Rate | None = None,
    may_pin: bool = False,
    may_push: bool = False,
    only_metrics: bool = False,
) -> tuple[str, ServiceToken]:
    """Make a token; it is returned this once and stored nowhere.

    Args:
        name: By which it is listed and revoked; unique.
        use_cases: The use cases that it may ask; none: all.
        lifetime: When it expires; None: never.
        rate: How often it may ask; None: as often as the server answers.
        may_pin: Whether it may ask for another version than the one that serves.
        may_push: Whether it may push rows of feature tables.
        only_metrics: Whether it may read `/metrics`, of the pipelines too, and nothing else.

    Raises:
        InvalidParams: the name is malformed or taken, or it is to read metrics only and to do more.
        PerennialError: the file of tokens is damaged.
    """
    if not _NAME.fullmatch(name):
        raise InvalidParams(f"{name!r} is no name of a token.", "Use 1 to 64 letters, digits and . _ @ -.")
    if only_metrics and (may_pin or may_push):
        raise InvalidParams("A token that reads metrics only can neither choose versions nor push.", "Make two tokens.")
    secret, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    token = ServiceToken(
        name=name,
        digest=_digest(secret),
        use_cases=tuple(sorted(set(use_cases))) or None,
        created=now,
        expires=now + lifetime if lifetime is not None else None,
        rate=rate,
        may_pin=may_pin,
        may_push=may_push,
        only_metrics=only_metrics,
    )

    def add(tokens: list[ServiceToken]) -> list[ServiceToken]:
        if any(each.name == name for each in tokens):
            raise InvalidParams(f"There is a token {name!r} already.", f"Revoke it: `perennial token revoke {name}`.")
        return [*tokens, token]

    _change(add)
    return secret, token


@contextmanager
def ours(purpose: str, use_case: str, lifetime: timedelta, *, may_pin: bool = False) -> Iterator[str]:
    """The token that is set, or else one of our own for as long as it is needed.

    Args:
        purpose: The beginning of its name.
        use_case: The use case that it is to ask.
        lifetime: For how long it is valid, should this process be killed.
        may_pin: Whether it is to ask for another version than the one that serves.

    Raises:
        PerennialError: the file of tokens is damaged.
    """
    given = settings().serving_token
    if given is not None:
        yield given.get_secret_value()
        return
    name = f"{purpose}-{uuid4().hex[:12]}"
    secret, _ = create(name, [use_case], lifetime, may_pin=may_pin)
    try:
        yield secret
    finally:
        revoke(name)


def revoke(name: str) -> None:
    """Delete a token; servers refuse it from their next request on.

    Args:
        name: The token's.

    Raises:
        InvalidParams: there is none of that name.
        PerennialError: the file of tokens is damaged.
    """

    def remove(tokens: list[ServiceToken]) -> list[ServiceToken]:
        left = [each for each in tokens if each.name != name]
        if len(left) == len(tokens):
            raise InvalidParams(f"There is no token {name!r}.", "`perennial token list` shows them.")
        return left

    _change(remove)


def list_tokens() -> list[ServiceToken]:
    """All tokens, oldest first, expired ones too.

    Raises:
        PerennialError: the file of tokens is damaged.
    """
    content = _content()
    return _read(content) if content is not None else []


def find(secret: str) -> ServiceToken | None:
    """The valid token that a caller shows; None: there is no such token, or it has expired.

    Raises:
        PerennialError: the file of tokens is damaged.
    """
    # At every request, so without pathlib, which would take longer than the call of the operating system.
    content = _content() if len(secret) == _LENGTH else None
    token = _matching(secret, content) if content is not None else None
    return token if token is not None and token.is_valid(datetime.now(UTC)) else None


class _Content(NamedTuple):
    """A file of tokens as it is now: each change replaces the file, so what was read of one is read once."""

    file: str
    inode: int
    changed: int
    size: int


def _content() -> _Content | None:
    file = f"{settings().home}/{_FILE}"
    try:
        seen = os.stat(file)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return _Content(file, seen.st_ino, seen.st_ctime_ns, seen.st_size)


@lru_cache(maxsize=1)
def _read(content: _Content) -> list[ServiceToken]:
    try:
        return msgspec.json.decode(Path(content.file).read_bytes(), type=list[ServiceToken])
    except FileNotFoundError:  # It was there a moment ago.
        return []
    except msgspec.DecodeError as error:
        raise PerennialError(
            f"{content.file} is damaged: {error}.", "Restore it, or delete it and make the tokens again."
        ) from error


@lru_cache(maxsize=1024)
def _matching(secret: str, content: _Content) -> ServiceToken | None:
    digest = _digest(secret)
    return next((each for each in _read(content) if secrets.compare_digest(each.digest, digest)), None)


def _change(change: Callable[[list[ServiceToken]], list[ServiceToken]]) -> None:
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock"), mode=0o600):
        changed = change(list_tokens())
        write_private(file, json.dumps(msgspec.to_builtins(changed), indent=2) + "\n")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
