"""`perennial new` as somebody types it: what it asks, says and writes, and that it writes nothing it should not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import new_cases
import pytest
from typed import Terminal, run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_cases.csv(new_cases.sales(), tmp_path_factory.mktemp("data"))


def files(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}


def test_it_tells_what_it_assumed_wrote_and_what_comes_next(project: Path, sales: str) -> None:
    done = run("new", "shop", "--data", sales, "--label", "Revenue", PERENNIAL_PROJECT=str(project))
    assert done.returncode == 0, done.stderr
    assert "key: Store Name - the only column with at most one row a moment" in done.stdout
    assert "values: 5 values of 'Unit Price ($)' are read as missing" in done.stdout
    assert "Remarks: is empty in every row" in done.stdout
    assert "perennial replay shop --from 2023-01 --to 2023-07" in done.stdout
    assert {f"include/use_cases/shop/{name}.py" for name in ("use_case", "source", "model")} <= files(project)
    assert {path for path in files(project) if f"  {path}\n" in done.stdout} == files(project)
    again = run("new", "shop", "--data", sales, "--label", "Revenue", PERENNIAL_PROJECT=str(project))
    assert again.returncode == 2
    assert "There is a use case 'shop' already." in again.stderr


def test_what_is_unclear_must_be_given_without_a_terminal(project: Path, sales: str) -> None:
    done = run("new", "shop", "--data", sales, PERENNIAL_PROJECT=str(project))
    assert done.returncode == 2
    assert "Which column is to be predicted?" in done.stderr
    assert "--label" in done.stderr
    assert not files(project)


def test_json_tells_the_same_and_a_dry_run_writes_nothing(project: Path, sales: str) -> None:
    arguments = ("new", "shop", "--data", sales, "--label", "Customers", "--dry-run", "--json")
    done = run(*arguments, PERENNIAL_PROJECT=str(project))
    result = json.loads(done.stdout)
    assert (result["written"], result["label"], result["keys"], result["task"]) == (
        False,
        "Customers",
        ["Store Name"],
        "regression",
    )
    assert "in proportion to the label" in result["left_out"]["Revenue"]
    assert not files(project)


def test_on_a_terminal_it_asks_and_takes_a_number_or_a_name(project: Path, sales: str) -> None:
    shell = Terminal.start("new", "shop", "--data", sales, "--no-key", PERENNIAL_PROJECT=str(project))
    shell.wait_for("Which one?")
    shell.type("Revenu\n")
    shell.wait_for("Did you mean 'Revenue'?")
    shell.type("3\n")
    assert shell.end() == 0
    assert "Predicted: Revenue" in shell.shown
    assert "include/use_cases/shop/use_case.py" in files(project)


def test_ctrl_c_at_a_question_writes_nothing(project: Path, sales: str) -> None:
    shell = Terminal.start("new", "shop", "--data", sales, PERENNIAL_PROJECT=str(project))
    shell.wait_for("COLUMN): ")
    shell.type("\x03")
    assert shell.end() == 130
    assert "Nothing was written" in shell.shown
    assert not files(project)


@pytest.fixture(scope="module")
def bucket(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of an S3 server that holds parts of the sales below a prefix."""
    client = boto3.client("s3", endpoint_url=s3_server)
    frame, folder = new_cases.sales(), tmp_path_factory.mktemp("parts")
    for number in range(2):
        part = frame[number::2]
        client.upload_file(new_cases.csv(part, folder), "bucket", f"csv/part-{number}.csv")
        part.astype({"Remarks": "string"}).to_parquet(folder / "part.parquet")
        client.upload_file(str(folder / "part.parquet"), "bucket", f"parquet/year=2023/part-{number}.parquet")
    access = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return access | {"AWS_ENDPOINT_URL_S3": s3_server}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_prefix_in_s3_is_read_where_it_is(project: Path, bucket: dict[str, str], kind: str) -> None:
    environment = bucket | {"PERENNIAL_PROJECT": str(project)}
    done = run("new", f"s3_{kind}", "--data", f"s3://bucket/{kind}", "--label", "Revenue", **environment)
    assert done.returncode == 0, done.stderr
    code = (
        f"from use_cases.s3_{kind} import source; from perennial import discovery;"
        f" print(source.observations(discovery.load('s3_{kind}').first).num_rows)"
    )
    read = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(project / "include")},
        timeout=120,
    )
    assert read.stdout.split() == [str(6 * 31)], read.stderr


def test_a_bucket_that_is_not_there_is_named(project: Path, bucket: dict[str, str]) -> None:
    done = run("new", "shop", "--data", "s3://nowhere/csv", **bucket, PERENNIAL_PROJECT=str(project))
    assert done.returncode == 2
    assert "s3://nowhere/csv" in done.stderr
