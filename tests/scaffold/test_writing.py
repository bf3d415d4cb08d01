"""What is written is a whole use case that reads, runs and passes like one that a person wrote; or nothing is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import new_cases
import numpy as np
import pandas as pd
import pytest
from public_imports import beyond_public

from perennial import discovery
from perennial.errors import InvalidParams
from perennial.scaffold import rendering, writing

ROOT = Path(__file__).parents[2]
#: Names with a blank, quotes, a keyword, a method's name, a bracket, an umlaut; values with quotes.
STRANGE = ['the "big" one', "it's", "class", "count", "price ($)", "größe", "x\\y", "label", "event_timestamp", "Count"]


def strange() -> pd.DataFrame:
    """Columns and values that a careless template breaks on; an irregular series without keys, to the microsecond."""
    random = np.random.default_rng(11)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.uniform(0, 9e6, 2400)), unit="s")
    frame = pd.DataFrame({name: random.normal(size=len(at)) for name in STRANGE})
    frame["it's"] = random.choice(['a "quoted" one', "it's", "back\\slash", "{{ braces }}", None], len(at))
    return frame.assign(outcome=random.choice(['said "yes"', "said 'no'"], len(at)), at=at.astype("datetime64[us]"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with five use cases, written from five files."""
    project = tmp_path_factory.mktemp("project")
    data = tmp_path_factory.mktemp("data")
    for name in ("pyproject.toml", "tests/conftest.py"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    (project / "include").mkdir()
    # What is first-party to ruff is told by the folders that are there.
    (project / "include/perennial").symlink_to(ROOT / "include/perennial")
    sales = new_cases.csv(new_cases.sales(), data, "sales.csv", sep=";")
    new_cases.create(project, "w_sales", sales, label="Revenue", later=["Customers"])
    strange().to_parquet(data / "strange.parquet")
    new_cases.create(
        project,
        "w_strange",
        str(data / "strange.parquet"),
        time="at",
        label="outcome",
        positive='said "yes"',
        no_key=True,
    )
    new_cases.create(project, "w_iris", new_cases.csv(new_cases.bundled("iris"), data, "iris.csv"), positive="1")
    kinds = new_cases.bundled("wine")
    label = next(name for name in kinds if kinds[name].nunique() == 3)
    kinds[label] = kinds[label].map({0: 'said "a"', 1: "it's b", 2: "{{ c }}"})
    wine = new_cases.csv(kinds, data, "wine.csv")
    new_cases.create(project, "w_wine", wine, label=label, task="multiclass")
    doubled = pd.concat([new_cases.bundled("diabetes")] * 2)
    doubled["seen_at"] = doubled["seen_at"].astype("int64") // 10**9
    new_cases.create(project, "w_diabetes", new_cases.csv(doubled, data, "diabetes.csv"))
    with new_cases.on_the_path(project):
        yield project


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{project}/include:{ROOT}/tests/support"  # What `tests/conftest.py` imports.
    environment = os.environ | {"PYTHONPATH": path, "PERENNIAL_PROJECT": str(project)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, env=environment, timeout=280
    )


def test_its_own_tests_pass(written: Path) -> None:
    done = run(written, "pytest", "tests/use_cases", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    assert done.returncode == 0, done.stdout[-6000:]
    assert " skipped" not in done.stdout


def test_it_imports_only_public_names(written: Path) -> None:
    files = [
        file
        for folder in ("include/use_cases", "tests/use_cases", "feature_repo")
        for file in written.glob(f"{folder}/**/*.py")
    ]
    assert len(files) >= 4 * 10
    assert {file.name: found for file in files if (found := beyond_public(file))} == {}


@pytest.mark.parametrize("how", [("check",), ("format", "--diff")], ids=" ".join)
def test_it_is_formatted_and_lints(written: Path, how: tuple[str, ...]) -> None:
    done = run(written, "ruff", *how, "--no-cache", "include/use_cases", "tests/use_cases", "feature_repo")
    assert done.returncode == 0, done.stdout[-6000:]


def test_it_is_typed(written: Path) -> None:
    folders = [f"include/use_cases/{name}" for name in discovery.names() if name.startswith("w_")]
    done = run(written, "mypy", "--follow-imports", "skip", "--cache-dir", str(written / "mypy"), *folders)
    assert done.returncode == 0, done.stdout[-6000:]


def test_it_is_discovered_and_light_to_import(written: Path) -> None:
    assert {"w_sales", "w_strange", "w_iris", "w_diabetes"} <= set(discovery.names())
    code = "import sys; from perennial import discovery; [discovery.load(name) for name in discovery.names()]; "
    code += "print(*(set(sys.modules) & {'duckdb', 'pandas', 'ibis', 'sklearn', 'great_expectations', 'feast'}))"
    environment = os.environ | {"PYTHONPATH": str(written / "include")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == []


def test_its_partitions_hold_every_row_once(written: Path) -> None:
    for name, rows in {"w_sales": 1_200, "w_strange": 2_400, "w_iris": 150, "w_diabetes": 884}.items():
        use_case = discovery.load(name)
        source = use_case.module("source")
        last = use_case.cadence.partition(use_case.end).previous
        read = [source.observations(partition) for partition in use_case.first.through(last)]
        assert sum(table.num_rows for table in read) == rows
        keys = pd.concat([table.select(list(use_case.examples.key)).to_pandas() for table in read])
        assert not keys.duplicated().any()


def test_rows_without_a_key_have_order_independent_ids(written: Path, tmp_path: Path) -> None:
    use_case = discovery.load("w_diabetes")
    source = use_case.module("source")
    assert use_case.examples.key == ("row_id",)
    shuffled = new_cases.csv(pd.read_csv(source.DATA.default, dtype=str).sample(frac=1, random_state=1), tmp_path)
    once, again = (source.observations(use_case.first, data) for data in (source.DATA.default, shuffled))
    assert sorted(once["row_id"].to_pylist()) == sorted(again["row_id"].to_pylist())


def test_what_was_assumed_is_written_in_the_files(written: Path) -> None:
    declared = (written / "include/use_cases/w_sales/use_case.py").read_text()
    readme = (written / "include/use_cases/w_sales/README.md").read_text()
    for text in (declared, readme):
        assert "key: Store Name; the only column with at most one row a moment" in text
        assert "Remarks: is empty in every row" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w_sales", "already"),
        ("Sales", "lower case"),
        ("json", "Python's own"),
        ("pandas", "installed package"),
        ("class", "Python's own"),
        ("../up", "lower case"),
        ("flights", "already"),
    ],
)
def test_an_invalid_name_is_refused(written: Path, name: str, said: str) -> None:
    with pytest.raises(InvalidParams, match=said):
        writing.check_new_name(name, written)


@pytest.mark.parametrize("there", ["tests/use_cases/tried", "feature_repo/tried.py", "include/use_cases/tried"])
def test_nothing_is_written_where_something_is(tmp_path: Path, there: str) -> None:
    project = tmp_path / "project"
    (project / there).parent.mkdir(parents=True)
    (project / there).write_text("mine")
    files = rendering.files(new_cases.design(new_cases.csv(new_cases.bundled("diabetes"), tmp_path)))
    with pytest.raises(InvalidParams, match="is there already"):
        writing.write("tried", files, project)
    assert [str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()] == [there]
    assert (project / there).read_text() == "mine"
