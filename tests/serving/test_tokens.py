"""Service tokens: shown once, stored as digests, scoped, expiring, revoked at once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from perennial.errors import InvalidParams, PerennialError
from perennial.serving import tokens

pytestmark = pytest.mark.usefixtures("folder")


def test_a_token_is_known_by_its_secret_alone(folder: Path) -> None:
    secret, made = tokens.create("shop", ["flights"])
    assert tokens.find(secret) == made
    assert tokens.find(secret[:-1]) is tokens.find("") is tokens.find("\udcff") is None
    stored = tokens.path().read_text()
    assert secret not in stored
    assert secret.removeprefix(tokens.PREFIX) not in stored
    assert stat.S_IMODE(tokens.path().stat().st_mode) == 0o600


def test_a_token_is_for_its_use_cases_only() -> None:
    _, one = tokens.create("shop", ["flights", "flights"])
    _, every = tokens.create("all")
    assert (one.use_cases, every.use_cases) == (("flights",), None)
    assert one.may_ask("flights")
    assert not one.may_ask("energy")
    assert every.may_ask("energy")


def test_a_token_for_metrics_does_nothing_else() -> None:
    _, one = tokens.create("prometheus", ["flights"], only_metrics=True)
    assert one.covers("flights")
    assert not one.covers("energy")
    assert not one.may_ask("flights")
    with pytest.raises(InvalidParams, match="neither choose versions nor push"):
        tokens.create("more", only_metrics=True, may_pin=True)


def test_a_token_expires_to_the_microsecond() -> None:
    secret, token = tokens.create("short", lifetime=timedelta(hours=1))
    assert token.expires is not None
    assert token.is_valid(token.expires - timedelta(microseconds=1))
    assert not token.is_valid(token.expires)
    assert tokens.find(secret) == token
    over, _ = tokens.create("over", lifetime=timedelta(0))
    assert tokens.find(over) is None
    assert [each.name for each in tokens.list_tokens()] == ["short", "over"]


def test_a_revoked_token_is_unknown_at_once() -> None:
    secret, _ = tokens.create("shop")
    kept, _ = tokens.create("other")
    tokens.revoke("shop")
    assert tokens.find(secret) is None
    assert tokens.find(kept) is not None
    with pytest.raises(InvalidParams, match="no token 'shop'"):
        tokens.revoke("shop")
    renewed, _ = tokens.create("shop")
    assert tokens.find(renewed) is not None
    assert tokens.find(secret) is None


def test_tokens_made_at_once_are_all_kept() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: tokens.create(f"t{number}")[0], range(24)))
    assert len(tokens.list_tokens()) == 24
    assert all(tokens.find(secret) for secret in made)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "é\n"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidParams, match="no name of a token"):
        tokens.create(name)


def test_a_name_is_used_once() -> None:
    tokens.create("shop")
    with pytest.raises(InvalidParams, match="token 'shop' already"):
        tokens.create("shop")


@pytest.mark.parametrize("content", ["{", '[{"name": 1}]', "null"])
def test_a_damaged_file_lets_nobody_in(folder: Path, content: str) -> None:
    secret, _ = tokens.create("shop")
    tokens.path().write_text(content)
    with pytest.raises(PerennialError, match="is damaged"):
        tokens.find(secret)
