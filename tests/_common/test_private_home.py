"""Who may enter the home."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from another_user import as_nobody

from perennial._common import private_home


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.mark.parametrize(
    ("before", "after"), [(0o755, 0o700), (0o777, 0o700), (0o2755, 0o2700), (0o2775, 0o2770), (0o700, 0o700)]
)
def test_an_existing_home_is_closed(tmp_path: Path, before: int, after: int) -> None:
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    home.chmod(before)
    private_home.close(home)
    assert mode(home) == after
    assert not private_home.open_to_others(home)


def test_a_new_home_is_closed(tmp_path: Path) -> None:
    private_home.close(tmp_path / "a" / "home")
    assert mode(tmp_path / "a" / "home") == 0o700


def test_a_folder_of_other_things_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o755)
    private_home.close(tmp_path)
    assert mode(tmp_path) == 0o755
    assert private_home.open_to_others(tmp_path)


def test_a_folder_above_the_work_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "run"))
    private_home.close(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_folder_for_everybody_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    tmp_path.chmod(0o1777)
    private_home.close(tmp_path)
    assert mode(tmp_path) == 0o1777


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_home_of_another_user_is_reported() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir(mode=0o700)
        private_home.check_access(home)
        for mode in (0o700, 0o755):  # Of the folder above.
            Path(folder).chmod(mode)
            assert as_nobody(lambda: private_home.check_access(home)).startswith(f"PerennialError: The home {home} is")
        home.chmod(0o755)
        assert as_nobody(lambda: private_home.check_access(home)) == "None"
        assert as_nobody(lambda: private_home.check_access(home / "missing")) == "None"


def test_new_files_are_for_the_owner_or_the_group(tmp_path: Path) -> None:
    assert private_home.umask(tmp_path / "missing") == 0o077
    assert private_home.umask(tmp_path) == 0o077
    tmp_path.chmod(0o2770)
    assert private_home.umask(tmp_path) == 0o007
