"""The short path to the embedded PostgreSQL."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from perennial.services import socket_link
from perennial.settings import settings


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home's data folder; what is made in /tmp goes into a folder of the test."""
    (tmp_path / "tmp").mkdir()
    folder = tmp_path / "home" / "postgres"
    folder.mkdir(parents=True)
    monkeypatch.setattr(socket_link, "_PARENT", str(tmp_path / "tmp"))
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    return folder


def test_the_link_stays_the_same(data: Path) -> None:
    link = socket_link.link_to(data)
    assert link.resolve() == data.resolve()
    assert socket_link.link_to(data) == link
    shutil.rmtree(link.parent)  # As a system does with old files in /tmp.
    assert socket_link.link_to(data) == link
    socket_link.remove(data)
    assert not link.is_symlink()
    assert link.parent.is_dir(), "else another account could take its name"
    assert socket_link.link_to(data) == link


@pytest.mark.parametrize("planted", ["open folder", "symbolic link", "file"])
def test_what_another_user_planted_is_not_used(data: Path, planted: str) -> None:
    link = socket_link.link_to(data)
    shutil.rmtree(link.parent)
    if planted == "open folder":
        link.parent.mkdir()
        link.parent.chmod(0o777)
        link.symlink_to(data)
    elif planted == "symbolic link":
        elsewhere = data.with_name("elsewhere")
        elsewhere.mkdir(mode=0o700)
        link.parent.symlink_to(elsewhere)
    else:
        link.parent.touch()
    other = socket_link.link_to(data)
    assert other.parent != link.parent
    assert other.resolve() == data.resolve()
    assert socket_link.link_to(data) == other


def test_a_link_that_leads_elsewhere_is_corrected(data: Path) -> None:
    link = socket_link.link_to(data)
    link.unlink()
    link.symlink_to("/")
    assert socket_link.link_to(data) == link
    assert link.resolve() == data.resolve()


def test_a_copy_of_a_home_has_a_link_of_its_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = socket_link.link_to(data)
    copy = data.parent.with_name("copy")
    shutil.copytree(data.parent, copy)
    monkeypatch.setenv("PERENNIAL_HOME", str(copy))
    settings.cache_clear()
    assert socket_link.link_to(copy / "postgres").parent != link.parent
    assert link.resolve() == data.resolve()


def test_a_damaged_record_counts_as_none(data: Path) -> None:
    socket_link.link_to(data)
    for content in ("{", json.dumps([]), json.dumps({"link": 1, "folder": str(data)})):
        socket_link._file().write_text(content)
        assert socket_link.link_to(data).resolve() == data.resolve()
