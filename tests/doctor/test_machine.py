"""What the doctor says of this machine: the home, and who may read its secrets."""

from __future__ import annotations

import stat
from pathlib import Path

from examined import Examine


def test_a_home_that_cannot_be_written(examine_with: Examine) -> None:
    # Nobody, root included, can make a file there.
    findings = examine_with("Home", "Disk", PERENNIAL_HOME="/proc/perennial")
    assert findings["Home"].state == "failed"
    assert "/proc cannot be written" in findings["Home"].message
    assert "PERENNIAL_HOME" in findings["Home"].fix


def test_a_home_that_is_a_file(tmp_path: Path, examine_with: Examine) -> None:
    (tmp_path / "file").write_text("")
    assert examine_with("Home", PERENNIAL_HOME=str(tmp_path / "file"))["Home"].state == "failed"


def test_a_home_that_others_may_enter(home: Path, examine_with: Examine) -> None:
    (home / "run").mkdir(parents=True)
    home.chmod(0o755)
    found = examine_with("Home")["Home"]
    assert found.state == "failed"
    assert f"chmod go-rwx {home}" in found.fix
    assert stat.S_IMODE(home.stat().st_mode) == 0o755, "it looks, and changes nothing"
    home.chmod(0o2770)
    assert "by its group" in examine_with("Home")["Home"].message
    home.chmod(0o700)
    assert "owner only" in examine_with("Home")["Home"].message
    home.chmod(0o1777)
    assert "PERENNIAL_HOME" in examine_with("Home")["Home"].fix


def test_secrets_that_others_may_read(home: Path, examine_with: Examine) -> None:
    from perennial.services.credentials import login, path

    assert examine_with("Secrets")["Secrets"].state == "not applicable"
    login()
    assert examine_with("Secrets")["Secrets"].state == "passed"
    path().chmod(0o644)
    finding = examine_with("Secrets")["Secrets"]
    assert finding.state == "failed"
    assert f"chmod 600 {path()}" in finding.fix
    assert stat.S_IMODE(path().stat().st_mode) == 0o644, "it looks, and changes nothing"
