"""An upgrade replaces what nobody changed, leaves what the team made of a file, and may be cut short anywhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perennial.errors import PerennialError
from perennial.project import record, shipped, starting, upgrading

ADDED, REMOVED, REPLACED, CHANGED, DELETED = "dags/ahead.py", "dags/old.py", "dags/alerts.py", "Makefile", "README.md"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def does(planned: upgrading.Upgrade) -> list[str]:
    """The kinds of things that an upgrade does or says."""
    return [kind for kind in ("added", "replaced", "removed", "left", "behaviour") if getattr(planned, kind)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One that version 0.0.1 wrote, and that the team has changed."""
    files = shipped.files("shop") | {REMOVED: "old\n", REPLACED: "old\n", CHANGED: "old\n", DELETED: "old\n"}
    del files[ADDED]
    record.put(tmp_path, files, (), record.of("shop", "0.0.1", files))
    (tmp_path / CHANGED).write_text("old\nours\n")
    (tmp_path / DELETED).unlink()
    return tmp_path


def test_what_a_new_project_needs_is_nothing(tmp_path: Path) -> None:
    starting.start(tmp_path / "shop", *starting.plan(tmp_path / "shop"))
    before = tree(tmp_path)
    planned = upgrading.plan(tmp_path / "shop")
    upgrading.apply(tmp_path / "shop", planned)
    assert not does(planned)
    assert tree(tmp_path) == before


def test_a_plan_tells_what_becomes_of_each_file(project: Path) -> None:
    before = tree(project)
    planned = upgrading.plan(project)
    assert (list(planned.added), list(planned.replaced), planned.removed) == ([ADDED], [REPLACED], [REMOVED])
    assert planned.left.keys() == {CHANGED, DELETED}
    assert "-ours" in planned.left[CHANGED]
    assert planned.behaviour[shipped.installed()]
    assert tree(project) == before


def test_an_upgrade_leaves_what_the_team_changed(project: Path) -> None:
    upgrading.apply(project, upgrading.plan(project))
    assert (project / CHANGED).read_text() == "old\nours\n"
    assert (project / REPLACED).read_text() == shipped.files("shop")[REPLACED]
    assert (project / ADDED).exists()
    assert not (project / REMOVED).exists()
    assert not (project / DELETED).exists()
    assert not does(upgrading.plan(project))


@pytest.mark.parametrize("moves", range(4))
def test_cut_short_and_run_again_it_ends_alike(project: Path, moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    move, left = Path.replace, [moves]

    def replace(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    try:
        upgrading.apply(project, upgrading.plan(project))
    except Killed:
        assert record.read(project).version == "0.0.1"
    monkeypatch.undo()
    upgrading.apply(project, upgrading.plan(project))
    assert record.read(project) == record.of("shop", shipped.installed(), shipped.files("shop"))
    unchanged: Mapping[str, str] = shipped.files("shop")
    expected = {path: content.encode() for path, content in unchanged.items()} | {CHANGED: b"old\nours\n"}
    del expected[DELETED]
    assert {path: content for path, content in tree(project).items() if path != record.FILE} == expected


def test_a_project_of_a_later_version_is_refused(project: Path) -> None:
    record.put(project, {}, (), record.Record("shop", "99.0", {}))
    with pytest.raises(PerennialError, match=r"written by Perennial 99\.0"):
        upgrading.plan(project)


def test_a_folder_that_init_did_not_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PerennialError, match="did not write this project"):
        upgrading.plan(tmp_path)


def test_several_at_once_end_as_one(project: Path, monkeypatch) -> None:
    planned = upgrading.plan(project)
    paces = itertools.cycle((0.02, 0.001, 0.01))
    mode = record._mode
    monkeypatch.setattr(record, "_mode", lambda *places: time.sleep(next(paces)) or mode(*places))
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: upgrading.apply(project, planned), range(12)))
    assert not does(upgrading.plan(project))
    assert not list(project.glob(f"{record.PENDING}*"))
