"""DAG bundles of git: every process has the use cases and feature definitions of its run's commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: What a process of Airflow does for a DAG file of a bundle at a version, and what it sees then.
PROCESS = """
import json, os, sys
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag

bundle = DagBundlesManager().get_bundle("team", version=sys.argv[1] or None)
bundle.initialize()
file = str(bundle.path / sys.argv[2] / "features.py")
bag = BundleDagBag(file, bundle_path=bundle.path, bundle_name="team", safe_mode=False)
assert not bag.import_errors, bag.import_errors

from perennial import discovery
from perennial.registry import provenance
from perennial.settings import settings

where = settings()
seen = {
    "dags": {dag.dag_id: dag.description for dag in bag.dags.values()},
    "use_cases": discovery.names(),
    "transforms": discovery.load("energy").module("transforms").__file__,
    "feature_repo": str(where.feature_repo),
    "data": [str(where.home), where.warehouse, where.training_sets],
    "commit": provenance.code_version(),
    "for children": [os.environ["PERENNIAL_PROJECT"], os.environ["PERENNIAL_HOME"]],
}
print(json.dumps(seen))
"""

#: A DAG file of a project: its tasks write down what they see.
DAG = """
from airflow.sdk import dag, task

from perennial import dag_names
from perennial.orchestration.dag_definition import use_cases


def of(use_case):
    @dag(dag_id=dag_names.dag_id(use_case.name, "features"))
    def seen():
        for name in ("first", "last"):

            @task(task_id=name)
            def write():
                import os
                from pathlib import Path

                from perennial.registry import provenance
                from perennial.settings import settings

                assert Path(use_case.module("transforms").__file__).is_relative_to(settings().project)
                with Path(os.environ["SEEN"]).open("a") as file:
                    print(use_case.title, provenance.code_version(), file=file)

            write()

    return seen()


for use_case in use_cases():
    of(use_case)
"""
#: A worker of Airflow, which forks a process for each task, of whatever run. Only the API's answers are made up.
WORKER = """
import sys, uuid
import httpx
from airflow.executors.workloads.base import BundleInfo
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import supervise_task

import perennial.orchestration.executor

MOMENT = "2026-01-01T00:00:00Z"
RUN = dict.fromkeys(("data_interval_start", "data_interval_end", "end_date", "partition_key"))
RUN |= dict.fromkeys(("logical_date", "start_date", "run_after"), MOMENT)
RUN |= {"dag_id": "energy.features", "run_id": "any", "run_type": "manual", "state": "running"}
RUN |= {"consumed_asset_events": []}


def answer(request):
    begins = request.url.path.endswith("/run")
    return httpx.Response(200, json={"dag_run": RUN, "max_tries": 0, "should_retry": False} if begins else {})


for line in sys.stdin:
    version, task_id = line.split()
    ids = {"id": uuid.uuid4(), "dag_version_id": uuid.uuid4()}
    rest = {"try_number": 1, "map_index": -1, "pool_slots": 1, "priority_weight": 1, "queue": "default"}
    code = supervise_task(
        ti=TaskInstance(dag_id="energy.features", run_id="any", task_id=task_id, **ids, **rest),
        bundle_info=BundleInfo(name="team", version=version),
        dag_rel_path="seen/seen.py",
        token="",
        client=Client(base_url=None, token="", dry_run=True, transport=httpx.MockTransport(answer)),
        subprocess_logs_to_stdout=True,
    )
    assert "use_cases" not in sys.modules, "the next task would inherit them"
    print("ended", code, flush=True)
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def project_in(folder: Path) -> Path:
    """A team's project, in a repository without a commit."""
    project = folder / "project"
    shutil.copytree(ROOT / "dags", project / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/second_use_case/use_cases", project / "include/use_cases")
    shutil.copytree(ROOT / "feature_repo", project / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "-q", "-b", "main", str(project))
    return project


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository of a team's project, and two commits of it; the second one retitles the use case."""
    project = project_in(tmp_path_factory.mktemp("team"))
    return project, [commit(project, "First"), commit(project, "Second")]


def commit(project: Path, title: str) -> str:
    declaration = project / "include/use_cases/energy/use_case.py"
    lines = declaration.read_text().splitlines(keepends=True)
    declaration.write_text("".join(f'    title="{title}",\n' if "    title=" in line else line for line in lines))
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", title)
    return git(project, "rev-parse", "HEAD")


def environment(project: Path, folder: Path, subdir: str | None = None) -> dict[str, str]:
    """What a process of Airflow is started with that has the repository as its only bundle."""
    options = {"repo_url": project.as_uri(), "tracking_ref": "main", "subdir": subdir}
    bundle = {"name": "team", "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": options}
    known = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    return known | {
        "PYTHONPATH": "",
        "PERENNIAL_HOME": str(folder / "home"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/nothing.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
    }


@pytest.fixture
def look(commits: tuple[Path, list[str]], tmp_path: Path) -> Any:
    """What a process sees that Airflow makes for a version of the bundle; without one, for the newest."""

    def look(version: str = "", subdir: str | None = None) -> dict[str, Any]:
        folder = "" if subdir else "dags"
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, version, folder],
            env=environment(commits[0], tmp_path, subdir),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return look


@pytest.fixture
def run_task(tmp_path: Path) -> Iterator[Callable[[Path, str, str], str]]:
    """Runs a task of the run that began with a commit, by one worker, and returns what the task saw."""
    seen, workers = tmp_path / "seen.txt", []

    def run_task(project: Path, version: str, task_id: str) -> str:
        if not workers:
            variables = environment(project, tmp_path) | {"SEEN": str(seen)}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            command = [sys.executable, "-c", WORKER]
            workers.append(subprocess.Popen(command, env=variables, cwd=tmp_path, text=True, **pipes))
        seen.unlink(missing_ok=True)
        print(version, task_id, file=workers[0].stdin, flush=True)
        log = []
        for line in workers[0].stdout:
            log.append(line)
            if line.startswith("ended "):
                break
        assert seen.exists(), "".join(log)
        return seen.read_text().strip()

    yield run_task
    for worker in workers:
        worker.stdin.close()
        worker.wait(60)
        worker.stdout.close()


def test_each_version_of_a_bundle_has_its_own_use_cases(look, commits, tmp_path) -> None:
    first, second = commits[1]
    seen = look(first)
    folder = tmp_path / "bundles/team/versions" / first
    assert seen["dags"] == {"energy.features": "First: features"}
    assert seen["transforms"] == str(folder / "include/use_cases/energy/transforms.py")
    assert seen["feature_repo"] == str(folder / "feature_repo")
    assert seen["commit"] == first
    assert look(second)["dags"] == {"energy.features": "Second: features"}
    assert look(first)["dags"] == {"energy.features": "First: features"}


def test_the_newest_version_is_read_with_its_commit(look, commits) -> None:
    seen = look(subdir="dags")
    assert (seen["dags"], seen["commit"]) == ({"energy.features": "Second: features"}, commits[1][1])


def test_what_is_installed_is_not_of_the_bundle(look, commits) -> None:
    assert look(commits[1][0])["use_cases"] == ["energy"]


def test_data_stay_where_they_are(look, commits, tmp_path) -> None:
    seen = look(commits[1][0])
    home = tmp_path / "home"
    assert seen["data"] == [str(home), str(home / "lake"), str(home / "training_sets")]
    assert seen["for children"] == [str(tmp_path / "bundles/team/versions" / commits[1][0]), str(home)]


def test_a_merge_in_the_middle_of_a_run_does_not_change_it(run_task, tmp_path) -> None:
    project = project_in(tmp_path)
    (project / "seen").mkdir()
    (project / "seen/seen.py").write_text(DAG)
    first = commit(project, "First")
    assert run_task(project, first, "first") == f"First {first}"
    second = commit(project, "Second")
    assert run_task(project, second, "first") == f"Second {second}"
    assert run_task(project, first, "last") == f"First {first}"
