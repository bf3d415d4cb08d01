"""Tab: names that exist, quickly, and silence where nothing answers."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import SLOW, complete, imported, run

from perennial import Cadence, discovery
from perennial.cli.completion import narrowed
from perennial.ingestion import ingest
from perennial.registry import ledger


def offered(line: str, home: Path, **environment: str) -> list[str]:
    done = complete("bash", line, PERENNIAL_HOME=str(home), **environment)
    assert done.returncode == 0
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("perennial sta", {"staleness", "status"}),
        ("perennial quarantine ", {"list", "show", "release", "discard"}),
        ("perennial rollback flights --dry", {"--dry-run"}),
        ("perennial status fl", {"flights"}),
        ("perennial rollback en", {"energy"}),
        (
            "perennial trigger flights ",
            {"features", "scoring", "monitoring", "training", "champion", "rollout", "ahead"},
        ),
        ("perennial replay flights --from 2013-0", {f"2013-0{month}" for month in range(1, 10)}),
        ("perennial replay flights --from 2013-01 --to 2013-1", {"2013-10", "2013-11", "2013-12"}),
        ("perennial trigger flights training --param max_", {"max_iter=", "max_leaf_nodes="}),
        (
            "perennial trigger flights training --param require_approval=",
            {f"require_approval={one}" for one in ("never", "always", "borderline")},
        ),
        ("perennial trigger flights champion --param act", {"action="}),
        ("perennial rollback flights --pause ", {"12h", "1d", "7d", "4w"}),
        ("perennial quarantine list flights --table pl", {"planes"}),
        ("perennial new sales --task ", {"binary", "multiclass", "regression"}),
        ("perennial new sales --cadence ", {"hourly", "daily", "weekly", "monthly"}),
        ("perennial new sales --label-after ", {"6h", "1d", "4w", "30d"}),
        ("perennial apply --from 2013-1", {"2013-10", "2013-11", "2013-12"}),
        ("perennial apply --from 2013-01 --to 2013-0", {f"2013-0{month}" for month in range(1, 10)}),
    ],
)
def test_names_that_git_knows_need_nothing_running(tmp_path: Path, line: str, expected: set[str]) -> None:
    assert set(offered(line, tmp_path)) == expected
    assert not list(tmp_path.iterdir())


def test_columns_are_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("day;store;revenue;returns\n2024-01-01;a;1,5;0\n2024-01-02;b;2,5;1\n")
    pq.write_table(pa.table({"at": [1], "amount": [2.0]}), tmp_path / "sales.parquet")
    home, data = tmp_path / "home", f"perennial new sales --data {tmp_path}/sales"
    assert offered(f"{data}.csv --time ", home) == ["day", "store", "revenue", "returns"]
    assert offered(f"{data}.csv --label re", home) == ["revenue", "returns"]
    assert offered(f"{data}.csv --label revenue --key s", home) == ["store"]
    assert offered(f"{data}.parquet --keep ", home) == ["at", "amount"]
    assert not home.exists()


def test_of_very_many_partitions_the_beginnings_are_offered() -> None:
    first = Cadence.HOURLY.partition("2023-01-01T00")
    hours = [each.key for each in first.through(Cadence.HOURLY.partition("2024-12-31T23"))]
    assert narrowed(hours) == ["2023", "2024"]
    assert narrowed([hour for hour in hours if hour.startswith("2024")])[:2] == ["2024-01", "2024-02"]
    assert narrowed([hour for hour in hours if hour.startswith("2024-02")])[-1] == "2024-02-29"
    assert len(narrowed([hour for hour in hours if hour.startswith("2024-02-29")])) == 24


@pytest.mark.parametrize(
    "line",
    [
        "perennial rollback flights --to ",
        "perennial reproduce flights ",
        "perennial quarantine show flights ",
        "perennial quarantine release flights --partition 2013-01 --accept ",
        "perennial replay nosuch --from ",
        "perennial trigger flights nosuch --param ",
        "perennial new sales --label ",
        "perennial new sales --data nosuch.csv --label ",
        "perennial new sales --data https://127.0.0.1:9/sales.csv --label ",
        "perennial new sales --data connection://shop/sales --label ",
    ],
)
def test_completion_offers_nothing_silently_if_unknown(tmp_path: Path, line: str) -> None:
    assert offered(line, tmp_path) == []


def test_a_database_that_is_out_of_reach_costs_no_patience(tmp_path: Path) -> None:
    # An address of those that are kept for documentation: packets to it are lost, not refused.
    away = {"PERENNIAL_DATABASE": "postgresql://user:password@192.0.2.1:5432/x"}
    assert offered("perennial rollback flights --to ", tmp_path, **away) == []


@pytest.fixture(scope="module")
def decided(project: Path, home: Path) -> str:
    """Two versions of energy were promoted, a third rejected; a row of it was refused. What the row is known by."""
    energy = discovery.load("energy")
    shared = {"partition": "2024-01-05", "effective_from": datetime(2024, 1, 6, tzinfo=UTC), "model_run": "r"}
    for version, action in ((1, "promoted"), (2, "promoted"), (3, "rejected")):
        ledger.record(
            energy,
            action=action,
            model_version=version,
            previous_version=version - 1 or None,
            actor="gate",
            reason="better",
            evidence={},
            **shared,
        )
    module = energy.module("source")
    partition = energy.partition("2024-01-05")
    rows = module.readings(partition)
    kwh = pa.array([5000.0, *rows["kwh"].to_pylist()[1:]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "readings", lambda partition: rows.set_column(3, "kwh", kwh))
        ingest.ingest_partition(energy, partition)
    from perennial import quarantine

    (item,) = quarantine.list_items(energy, partition)
    return item.item


def test_versions_are_those_that_were_decided_on_newest_first(home: Path, decided: str) -> None:
    assert offered("perennial reproduce energy ", home) == ["3", "2", "1"]


def test_one_can_return_to_what_has_served(home: Path, decided: str) -> None:
    assert offered("perennial rollback energy --to ", home) == ["2", "1"]


def test_quarantined_rows_are_offered_by_name(home: Path, decided: str) -> None:
    assert offered("perennial quarantine show energy --partition 2024-01-05 ", home) == [decided]
    assert offered("perennial quarantine release energy --partition 2024-01-05 --item ", home) == [decided]
    assert offered("perennial quarantine release energy --partition 2024-01-06 --item ", home) == []


def test_what_is_broken_can_be_accepted(home: Path, decided: str) -> None:
    assert offered("perennial quarantine release energy --partition 2024-01-05 --accept ", home) == [
        "expect_column_values_to_be_between(kwh)"
    ]


def test_types_cannot_be_accepted(home: Path, decided: str) -> None:
    from perennial import quarantine

    energy = discovery.load("energy")
    broken = {"types": "kwh is text", "min_rows": "only one"}
    rows, partition = pa.table({"kwh": ["much"]}), energy.partition("2024-01-08")
    quarantine.store_batch(energy, energy.raw[0], partition, rows, broken, "s")
    assert offered(f"perennial quarantine release energy --partition {partition.key} --accept ", home) == ["min_rows"]


def test_zsh_and_fish_get_a_description_of_each_name(home: Path, decided: str) -> None:
    assert '"3":"rejected"' in complete("zsh", "perennial reproduce energy ", PERENNIAL_HOME=str(home)).stdout
    assert "3\trejected" in complete("fish", "perennial reproduce energy ", PERENNIAL_HOME=str(home)).stdout


@pytest.mark.parametrize("line", ["perennial replay energy --from ", "perennial rollback energy --to "])
def test_completing_imports_nothing_that_takes_long(home: Path, decided: str, line: str) -> None:
    done = complete("bash", line, PERENNIAL_HOME=str(home), PYTHONPROFILEIMPORTTIME="1")
    assert done.stdout
    assert "perennial.cli.completion" in imported(done.stderr)
    assert not imported(done.stderr) & SLOW


def test_bash_completes_by_the_script_that_is_installed(tmp_path: Path) -> None:
    script = complete("bash", "", _PERENNIAL_COMPLETE="source_bash").stdout
    (tmp_path / "completion.sh").write_text(script)
    ask = (
        f"source {tmp_path}/completion.sh; COMP_WORDS=(perennial status fl); COMP_CWORD=2;"
        " _perennial_completion perennial; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path, "PERENNIAL_HOME": str(tmp_path)},
        timeout=60,
    )
    assert done.stdout.split() == ["flights"]


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_is_offered_in_the_help(option: str) -> None:
    assert option in run("--help").stdout
