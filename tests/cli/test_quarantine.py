"""`perennial quarantine`: look, decide, and say what became of it."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from perennial import discovery
from perennial.cli import app
from perennial.errors import InvalidParams
from perennial.ingestion import ingest

DAY = "2024-01-05"
NOTHING = "energy: nothing in quarantine is pending review.\n"


@pytest.fixture(scope="module")
def refused(project) -> str:
    """A row that was refused; what it is known by."""
    energy = discovery.load("energy")
    module = energy.module("source")
    rows = module.readings(energy.partition(DAY))
    kwh = pa.array([5000.0, *rows["kwh"].to_pylist()[1:]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "readings", lambda partition: rows.set_column(3, "kwh", kwh))
        ingest.ingest_partition(energy, energy.partition(DAY))
        (item,) = json.loads(run("list", "energy", "--json").output)
        yield item["item"]


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["quarantine", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_list_counts_pending_items_by_expectation(refused: str) -> None:
    shown = run("list", "energy").output
    assert DAY in shown
    assert "pending review" in shown
    assert "expect_column_values_to_be_between(kwh)" in shown
    assert (
        run("list", "energy", "--partition", "2024-01-06").output
        == "energy: nothing in quarantine is pending review.\n"
    )


def test_show_tells_the_row_and_why(refused: str) -> None:
    shown = run("show", "energy", refused[:6], "--partition", DAY).output
    assert '"kwh": 5000.0' in shown
    assert "fails expect_column_values_to_be_between(kwh)" in shown


def test_a_decision_needs_a_reason(refused: str) -> None:
    with pytest.raises(InvalidParams, match="needs a reason"):
        run("release", "energy", "--partition", DAY)


def test_items_that_still_fail_are_named_and_fail_the_command(refused: str) -> None:
    result = run("release", "energy", "--partition", DAY, "--reason", "try")
    assert result.exit_code == 1
    assert f"row {refused} of readings: expect_column_values_to_be_between(kwh)" in result.output


def test_a_dry_run_validates_and_records_nothing(refused: str) -> None:
    before = run("list", "energy", "--all", "--json").output
    accept = ("--accept", "expect_column_values_to_be_between(kwh)", "--dry-run")
    released = run("release", "energy", "--partition", DAY, *accept)
    assert released.exit_code == 0
    assert f"energy {DAY}: would be released 1 rows, would still be rejected 0." in released.output
    assert run("release", "energy", "--partition", DAY, "--dry-run").exit_code == 1, "as without --dry-run"
    assert "would be discarded 1 rows" in run("discard", "energy", "--partition", DAY, "--dry-run").output
    assert run("list", "energy", "--all", "--json").output == before


def test_a_decision_can_be_read_as_json(refused: str) -> None:
    result = run("discard", "energy", "--partition", DAY, "--dry-run", "--json")
    decision = json.loads(result.stdout)
    assert [item["item"] for item in decision["decided"]] == [refused]
    assert (decision["refused"], decision["run"]) == ([], None)


def test_a_release_takes_effect_when_the_partition_has_run(refused: str) -> None:
    accept = ("--accept", "expect_column_values_to_be_between(kwh)", "--reason", "seen", "--by", "ada")
    result = run("release", "energy", "--partition", DAY, *accept, "--no-run")
    assert "released 1 rows" in result.output
    assert "perennial trigger energy features" in result.output
    (item,) = json.loads(run("list", "energy", "--json").output)
    assert (item["state"], item["decision"]["actor"]) == ("releasing", "ada")


def test_discarding_takes_it_off_the_list(refused: str) -> None:
    run("discard", "energy", "--partition", DAY, "--item", refused, "--reason", "a broken meter", "--by", "ada")
    assert run("list", "energy").output == NOTHING
    assert "discarded" in run("list", "energy", "--all").output
