"""A use case from the web, or from a database by an Airflow connection: looked at, written, tested and ingested."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import new_cases
import pandas as pd
import pytest
import sqlalchemy as sa
from web_server import Answer, Server, packed, serving

from perennial import discovery, lake
from perennial.errors import InvalidParams
from perennial.ingestion import ingest
from perennial.scaffold import rendering
from perennial.services import postgres

PASSWORD = "never written down"


def frame() -> pd.DataFrame:
    """Daily sales by store; `at` is their time."""
    found = new_cases.sales(stores=8, days=150).drop(columns=["Remarks", "Unit Price ($)"])
    return found.assign(at=pd.to_datetime(found.pop("Day"), format="%d/%m/%Y"))


#: The time of a row in the database -> the type of the column, and its values.
TIMES = {
    "zoned": (sa.DateTime(timezone=True), lambda at: at.dt.tz_localize("UTC")),
    "plain": (sa.DateTime(), lambda at: at),
    "epoch": (sa.BigInteger(), lambda at: at.astype("datetime64[s]").astype("int64")),
    "text": (sa.Text(), lambda at: at.dt.strftime("%Y-%m-%dT%H:%M:%S")),
}


@pytest.fixture(scope="module")
def connected(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow connections `far_pg` and `far_lite`: with a table of sales for each of `TIMES`."""
    engine = postgres.engine("lake")
    lite = tmp_path_factory.mktemp("lite") / "shop.db"
    with engine.begin() as connection, sqlite3.connect(lite) as opened:
        connection.exec_driver_sql("CREATE SCHEMA shop")
        for name, (kind, write) in TIMES.items():
            rows = frame().assign(at=lambda rows, write=write: write(rows["at"]))
            rows.to_sql(f"sales_{name}", connection, "shop", index=False, dtype={"at": kind})
            if name != "zoned":
                rows.to_sql(f"sales_{name}", opened, index=False)
    opened.close()
    url = postgres.url("lake")
    pg = {"conn_type": "postgres", "host": url.query["host"], "port": int(str(url.query["port"]))}
    pg |= {"login": url.username, "schema": "lake", "password": PASSWORD}
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("AIRFLOW_CONN_FAR_PG", json.dumps(pg))
        changed.setenv("AIRFLOW_CONN_FAR_LITE", f"sqlite:///{lite}")
        yield


@pytest.fixture(scope="module")
def web() -> Iterator[Server]:
    with serving() as server:
        yield server


SOURCES = {
    **{f"pg_{name}": f"connection://far_pg/shop.sales_{name}" for name in TIMES},
    **{f"lite_{name}": f"connection://far_lite/sales_{name}" for name in TIMES if name != "zoned"},
    "web_csv": "/sales.csv.gz",
    "web_parquet": "/sales.parquet",
}


@pytest.fixture(scope="module")
def written(project: Path, connected: None, web: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project, with a use case of each source."""
    folder = tmp_path_factory.mktemp("web")
    frame().to_parquet(folder / "sales.parquet", index=False)
    web.serves("/sales.parquet", Answer((folder / "sales.parquet").read_bytes()))
    web.serves("/sales.csv.gz", Answer(packed(Path(new_cases.csv(frame(), folder)).read_bytes())))
    for name, data in SOURCES.items():
        address = f"{web.address}{data}" if data.startswith("/") else data
        new_cases.create(project, f"f_{name}", address, time="at", label="Revenue", key=["Store Name"])
    with new_cases.on_the_path(project):
        yield project


@pytest.mark.parametrize("name", SOURCES)
def test_its_partitions_hold_every_row_once(written: Path, name: str) -> None:
    use_case = discovery.load(f"f_{name}")
    last = use_case.cadence.partition(use_case.end).previous
    read = [use_case.module("source").observations(each) for each in use_case.first.through(last)]
    rows = pd.concat([table.to_pandas() for table in read]).sort_values(["at", "store_name"])
    wanted = frame().sort_values(["at", "Store Name"])
    assert rows["revenue"].to_list() == pytest.approx(wanted["Revenue"].to_list())
    assert rows["at"].dt.tz_localize(None).to_list() == wanted["at"].to_list()


@pytest.mark.parametrize("name", ["pg_zoned", "lite_text", "web_csv"])
def test_it_is_ingested(written: Path, name: str) -> None:
    use_case = discovery.load(f"f_{name}")
    counts = ingest.ingest_partition(use_case, use_case.first.next)
    assert (counts["rows"], counts["quarantined"]) == (8 * 28, 0)
    assert lake.read(f"f_{name}.observations", partitions=[use_case.first.next.key]).num_rows == 8 * 28


def test_its_own_tests_pass(written: Path) -> None:
    root = Path(__file__).parents[2]
    for name in ("pyproject.toml", "tests/conftest.py"):
        (written / name).write_text((root / name).read_text())
    environment = os.environ | {"PYTHONPATH": f"{written}/include:{root}/include:{root}/tests/support"}
    tested = [f"tests/use_cases/f_{name}" for name in ("pg_zoned", "lite_text", "web_csv")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tested, "-q", "-p", "no:cacheprovider"],
        cwd=written,
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_it_is_formatted_lints_and_is_typed(written: Path) -> None:
    root = Path(__file__).parents[2]
    (written / "pyproject.toml").write_text((root / "pyproject.toml").read_text())
    if not (written / "include/perennial").exists():
        (written / "include/perennial").symlink_to(root / "include/perennial")
    folders = ["include/use_cases", "tests/use_cases"]
    typed = [f"include/use_cases/f_{name}" for name in ("pg_zoned", "web_csv")]
    for command in (
        ["ruff", "check", "--no-cache", *folders],
        ["ruff", "format", "--diff", "--no-cache", *folders],
        ["mypy", "--follow-imports", "skip", "--cache-dir", f"{written}/mypy", *typed],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=written, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout[-6000:]


def test_no_secret_is_in_what_is_written(written: Path) -> None:
    files = [file for file in written.rglob("*") if file.is_file() and "f_pg_" in str(file)]
    assert len(files) >= 11 * 4
    for file in files:
        assert PASSWORD.encode() not in file.read_bytes()


def test_a_table_with_unordered_time_is_read_whole_and_says_so(connected: None) -> None:
    with postgres.engine("lake").begin() as connection:
        rows = frame().assign(at=lambda rows: rows["at"].dt.strftime("%d.%m.%Y"))
        rows.to_sql("sales_german", connection, "shop", index=False)
    made = new_cases.design("connection://far_pg/shop.sales_german", label="Revenue", key=["Store Name"])
    assert new_cases.about(made, "reading") == "the whole table, for each partition"
    source = rendering.files(made)["include/use_cases/tried/source.py"]
    assert "everything is read, and most left out" in source


def test_unreadable_database_columns_are_left_out_with_reason(connected: None) -> None:
    with postgres.engine("lake").begin() as connection:
        frame().to_sql("sales_more", connection, "shop", index=False)
        connection.exec_driver_sql("ALTER TABLE shop.sales_more ADD COLUMN tags jsonb")
    made = new_cases.design("connection://far_pg/shop.sales_more", label="Revenue", key=["Store Name"])
    assert made.left_out["tags"] == "is of type JSONB, which is not supported"


@pytest.mark.parametrize(
    ("data", "said", "fix"),
    [
        ("https://me:hidden@x.org/a.csv", "holds a login", "Airflow connection"),
        ("https://x.org/a.csv?token=hidden", "holds the parameter 'token'", "Airflow connection"),
        ("ftp://x.org/a.csv", "ftp:// is not read", "connection://CONNECTION_ID/SCHEMA.TABLE"),
        ("connection://far_pg/shop.nosuch", "has no table or view 'shop.nosuch'", "SCHEMA.TABLE"),
        ("https://x.org:port/a.csv", "is not a valid address", "browser"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_a_fix(connected: None, data: str, said: str, fix: str) -> None:
    with pytest.raises(InvalidParams) as error:
        new_cases.design(data, label="Revenue")
    assert said in error.value.problem
    assert fix in error.value.fix
    assert "hidden" not in str(error.value)


def test_a_file_that_is_gone_from_the_web_is_named(web: Server) -> None:
    with pytest.raises(InvalidParams, match=r"/gone\.csv was not found: the server answers 404"):
        new_cases.design(f"{web.address}/gone.csv", label="Revenue")
