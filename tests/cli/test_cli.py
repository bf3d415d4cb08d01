"""The command line as a user meets it: exit codes, and errors without tracebacks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typed import SLOW, imported, run

from perennial.discovery import load
from perennial.errors import InvalidPartition
from perennial.runs.replay import partitions_between


def test_help_imports_nothing_that_takes_long() -> None:
    done = run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert "perennial.cli" in imported(done.stderr)
    assert not imported(done.stderr) & (SLOW | {"httpx", "pydantic"})


def test_status_imports_nothing_that_takes_long(home: Path) -> None:
    done = run("status", "flights", PERENNIAL_HOME=str(home), PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "perennial.reporting.partition_status" in imported(done.stderr)
    # Its table is drawn by rich.
    assert not imported(done.stderr) & (SLOW - {"rich"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("replay", "fligths", "--from", "2013-01", "--to", "2013-02"), "Did you mean 'flights'?"),
        (
            ("replay", "flights", "--from", "2013-1", "--to", "2013-02"),
            "'2013-1' is not the name",
        ),
        (("replay", "flights", "--from", "2012-12", "--to", "2013-02"), "no partition '2012-12'"),
        (("replay", "flights", "--from", "2013-03", "--to", "2013-02"), "is after"),
        (("status", "nope"), "no use case 'nope'"),
        (("trigger", "flights", "scorin"), "features, scoring, monitoring, training"),
        (("trigger", "flights", "scoring"), "--partition"),
        (("trigger", "flights", "training", "--param", "sed=1"), "Known: force"),
        (("trigger", "flights", "training", "--param", "seed"), "k=v"),
        (("replay", "flights"), "--from"),
        (("parity", "fligths"), "Did you mean 'flights'?"),
        (("parity", "flights", "--logged", "2013-1"), "'2013-1' is not the name"),
        (("parity", "flights", "--keys", "0"), "--keys"),
    ],
)
def test_what_does_not_exist_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments, PERENNIAL_HOME=str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run("--debug", "status", "nope", PERENNIAL_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_status_works_when_nothing_runs(tmp_path: Path) -> None:
    done = run("status", "flights", PERENNIAL_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "stopped" in done.stdout
    assert "perennial up" in done.stdout


def test_an_unreadable_champion_is_not_called_missing(tmp_path: Path) -> None:
    one = run("status", "flights", PERENNIAL_HOME=str(tmp_path)).stdout
    assert re.search("Champion +unknown", one), one
    assert "flights: unknown, owner" in run("status", PERENNIAL_HOME=str(tmp_path)).stdout
    assert json.loads(run("status", "flights", "--json", PERENNIAL_HOME=str(tmp_path)).stdout)["is_known"] is False


def test_status_as_json(home: Path) -> None:
    done = run("status", "--json", PERENNIAL_HOME=str(home))
    assert done.returncode == 0
    names = [state["name"] for state in json.loads(done.stdout)]
    assert "flights" in names


def test_down_when_nothing_runs(tmp_path: Path) -> None:
    done = run("down", PERENNIAL_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "Nothing was running." in done.stdout


def test_partitions_of_a_replay_include_both_ends() -> None:
    partitions = partitions_between(load("flights"), "2013-11", "2013-12")
    assert [partition.key for partition in partitions] == ["2013-11", "2013-12"]
    with pytest.raises(InvalidPartition, match="is after"):
        partitions_between(load("flights"), "2013-12", "2013-11")
