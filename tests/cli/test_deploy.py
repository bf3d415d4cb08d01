"""`perennial deploy`: only what is committed, to the environment that is named, once, and on record there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from typed import NOWHERE, run

from perennial.services import postgres


@pytest.fixture(scope="module")
def team(home: Path, project: Path) -> dict[str, str]:
    """A project in git with the environment `staging` on this PostgreSQL, and the variables of a command in it."""
    (project / "environments").mkdir()
    (project / "environments/staging.toml").touch()
    address = postgres.url("postgres")
    with create_engine(address, isolation_level="AUTOCOMMIT").connect() as server:
        for database in ("lake", "feast"):
            server.execute(text(f"CREATE DATABASE staging_{database}"))
    git(project, "init", "-q")
    commit(project)
    variables = {"PERENNIAL_HOME": str(home), "PERENNIAL_PROJECT": str(project)} | NOWHERE
    return variables | {"PERENNIAL_DATABASE": address.render_as_string(hide_password=False)}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(project: Path) -> str:
    git(project, "add", "feature_repo", "environments")
    git(project, "commit", "-q", "--allow-empty", "-m", "Deploy me")
    return git(project, "rev-parse", "HEAD")


def deployed(team: dict[str, str], *arguments: str, code: int = 0, to: str = "staging") -> str:
    done = run("deploy", "--to", to, "--no-backfill", *arguments, **team)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_dry_run_shows_the_plan_and_registers_nothing(team: dict[str, str], project: Path) -> None:
    shown = deployed(team, "--dry-run")
    assert f"Commit {git(project, 'rev-parse', 'HEAD')} to environment staging" in shown
    assert "service energy: added" in shown
    assert "service energy: added" in deployed(team, "--dry-run")


def test_a_commit_is_deployed_once_and_on_record(team: dict[str, str], project: Path) -> None:
    head = commit(project)
    assert "Registered." in deployed(team, "--yes")
    assert "Registered." not in deployed(team, "--yes")
    acts = json.loads(run("audit", "--json", **team, PERENNIAL_ENVIRONMENT="staging").stdout)
    said = f"perennial deploy --to staging --no-backfill --yes (commit {head})"
    assert [(each["act"], each["outcome"]) for each in acts] == [(said, "done"), (said, "done")]
    assert "service energy: added" in run("plan", **team).stdout, "the environment without a name has nothing of it"


def test_what_is_not_committed_is_refused(team: dict[str, str], project: Path) -> None:
    file = project / "feature_repo/feature_store.yaml"
    before = file.read_text()
    file.write_text(f"{before}\n")
    assert "has changes that are not committed" in deployed(team, "--yes", code=1)
    file.write_text(before)


def test_an_environment_without_a_file_is_refused(team: dict[str, str]) -> None:
    assert "has one: staging" in deployed(team, "--yes", to="stagin", code=2)
