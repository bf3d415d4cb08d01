"""Logins and keys: generated once, kept, private, or from the environment."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.errors import InvalidSetting, PerennialError
from perennial.services.credentials import login, other_logins, path, write_once, write_private
from perennial.settings import settings


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with nothing in it."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def test_login_is_generated_once_and_private(empty_home: Path) -> None:
    first = login()
    assert first == login()
    assert first.user == "admin"
    assert len(first.password) >= 20
    assert first.password not in repr(first)
    assert stat.S_IMODE(path().stat().st_mode) == 0o600


def test_a_login_from_the_environment_takes_precedence(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PASSWORD", "from-outside")
    assert login().password == "from-outside"
    assert not path().exists()


def test_further_users_keep_their_passwords(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_USERS", '{"vera": "viewer", "otto": "op"}')
    settings.cache_clear()
    first = other_logins()
    assert [one.user for one in first] == ["vera", "otto"]
    assert len({one.password for one in (*first, login())}) == 3
    monkeypatch.setenv("PERENNIAL_USERS", '{"otto": "op", "admin": "viewer"}')
    settings.cache_clear()
    assert other_logins() == first[1:], "and nobody takes the admin's place"


def test_a_private_file_replaces_what_was_there(tmp_path: Path) -> None:
    other, planted = tmp_path / "other", tmp_path / "planted"
    other.write_text("kept")
    planted.symlink_to(other)
    readable = tmp_path / "readable"
    readable.touch(mode=0o644)
    for file in (planted, readable):
        write_private(file, "secret")
        assert file.read_text() == "secret"
        assert stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert other.read_text() == "kept"


@pytest.mark.parametrize("users", ['{"vera": "boss"}', '{"a:admin,b": "viewer"}', '{"../x": "viewer"}'])
def test_an_invalid_user_is_an_error(empty_home: Path, monkeypatch: pytest.MonkeyPatch, users: str) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("PERENNIAL_USERS", users)
        settings.cache_clear()
        with pytest.raises(InvalidSetting, match="PERENNIAL_USERS"):
            settings()
    settings.cache_clear()


def test_a_broken_login_file_is_named(empty_home: Path) -> None:
    path().write_text("{")
    with pytest.raises(PerennialError, match=r"login\.json is not readable"):
        login()


def test_write_once_keeps_what_is_there(empty_home: Path) -> None:
    file = empty_home / "deep" / "keys.json"
    assert write_once(file, {"a": "1"}) == {"a": "1"}
    assert write_once(file, {"a": "2"}) == {"a": "1"}
