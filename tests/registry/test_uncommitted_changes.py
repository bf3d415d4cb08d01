"""What is kept of code that was in no commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from examples import examples
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from reproducible import commit, forget, git

from perennial.registry import provenance, uncommitted_changes
from perennial.settings import settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A repository of one commit."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include/model.py").write_text("alpha = 1\n")
    (tmp_path / "include/latin.py").write_bytes("name = 'Zoë'\n".encode("latin-1"))
    (tmp_path / "README.md").write_text("Read me.\n")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    monkeypatch.setenv("PERENNIAL_PROJECT", str(tmp_path))
    settings.cache_clear()
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()
    forget()


def test_a_clean_checkout_has_no_changes(project: Path) -> None:
    (project / "include/ignored.py").write_text("whatever\n")
    assert uncommitted_changes.collect() is None
    assert provenance.code_version() == git(project, "rev-parse", "HEAD").strip()


def test_a_file_that_git_does_not_know_is_a_change(project: Path) -> None:
    (project / "include/new.py").write_text("beta = 2\n")
    assert provenance.code_version().endswith("+dirty")
    kept = uncommitted_changes.collect()
    assert kept.files == ["include/new.py"]
    assert "+beta = 2" in kept.diff


def test_a_project_may_be_a_folder_of_a_larger_repository(project: Path, monkeypatch) -> None:
    inner = project / "team/project"
    (inner / "include").mkdir(parents=True)
    (inner / "include/[model].py").write_text("alpha = 1\n")
    monkeypatch.setenv("PERENNIAL_PROJECT", str(inner))
    settings.cache_clear()
    commit(project)
    (inner / "include/[model].py").write_text("alpha = 2\n")
    kept = uncommitted_changes.collect()
    assert kept.files == ["team/project/include/[model].py"]
    assert "+alpha = 2" in kept.diff


def test_the_users_repository_is_left_as_it_was(project: Path) -> None:
    (project / "include/model.py").write_text("alpha = 2\n")
    (project / "include/new.py").write_text("beta = 2\n")

    def state() -> tuple:
        files = sorted(
            (str(file), file.stat().st_size) for file in (project / ".git").rglob("*") if file.name != "index"
        )
        return files, git(project, "diff", "--cached"), git(project, "status", "--porcelain")

    before = state()
    uncommitted_changes.collect()
    assert state() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("include/login.py", 'PASSWORD = "correct horse battery"\n'),
        ("include/where.py", 'URL = "postgresql://ada:lovelace@db/models"\n'),
        ("include/aws.py", "key = AKIAABCDEFGHIJKLMNOP\n"),
        ("config/tls.pem", "anything\n"),
        ("config/.env", "anything\n"),
    ],
)
def test_what_looks_like_a_secret_is_named_and_not_kept(project: Path, name: str, content: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(content)
    (project / "include/model.py").write_text("alpha = 2\n")
    kept = uncommitted_changes.collect()
    assert kept.withheld == {name: "looks as if it held a secret"}
    assert kept.files == ["include/model.py"]
    assert content.strip() not in kept.diff


def test_code_that_only_speaks_of_secrets_is_kept(project: Path) -> None:
    (project / "include/model.py").write_text("password = login().password\ntoken: str = field(repr=False)\n")
    assert uncommitted_changes.collect().files == ["include/model.py"]


def test_a_large_change_is_named_and_not_kept(project: Path) -> None:
    (project / "include/data.py").write_text("x = 1\n" * uncommitted_changes.LARGEST_FILE)
    assert uncommitted_changes.collect().withheld == {"include/data.py": "too large"}


def test_text_that_is_not_utf8_is_named_and_not_kept(project: Path) -> None:
    (project / "include/latin.py").write_bytes("name = 'Zoé'\n".encode("latin-1"))
    assert uncommitted_changes.collect().withheld == {"include/latin.py": "is not UTF-8"}


def test_outside_a_checkout_there_is_nothing_to_say(project: Path, tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("PERENNIAL_PROJECT", str(tmp_path_factory.mktemp("elsewhere")))
    settings.cache_clear()
    forget()
    assert uncommitted_changes.collect() is None
    assert provenance.code_version() == "unknown"
    monkeypatch.setenv("PERENNIAL_COMMIT", "31fbad9")
    settings.cache_clear()
    forget()
    assert provenance.code_version() == "31fbad9"


contents = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60).map(str.encode)


@given(model=contents, new=contents | st.binary(max_size=40).map(lambda some: some + b"\0"))
@example(model=b"", new=b"\0")
@example(model=b"no newline at the end", new=b"\n\n")
@hypothesis_settings(
    max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_recorded_diff_restores_the_code_that_ran(project: Path, model: bytes, new: bytes) -> None:
    (project / "include/model.py").write_bytes(model)
    (project / "include/new file.py").write_bytes(new)
    kept = uncommitted_changes.collect()
    clean = project.parent / f"{project.name}-clean"
    git(project, "worktree", "add", "--quiet", "--force", "--detach", str(clean), "HEAD")
    try:
        subprocess.run(["git", "-C", str(clean), "apply", "--binary", "-"], input=kept.diff.encode(), check=True)
        assert (clean / "include/model.py").read_bytes() == model
        assert (clean / "include/new file.py").read_bytes() == new
    finally:
        git(project, "worktree", "remove", "--force", str(clean))
