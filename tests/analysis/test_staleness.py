"""What a champion would predict from features published sooner or later, on the holdout that its gate judged it on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import perennial
from perennial import lake
from perennial.analysis import staleness
from perennial.analysis.staleness_report import StalenessReport
from perennial.cli import app
from perennial.errors import UnknownVersion
from perennial.feature_store import repository
from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.use_case import UseCase
from perennial.use_case.table_names import TableNames

VIEW = "energy_meter_history"
HOURLY, DAILY = Publication(timedelta(hours=1)), Publication(timedelta(days=1))


@pytest.fixture(scope="module")
def report(energy: UseCase) -> StalenessReport:
    return staleness.measure(energy)


@pytest.fixture
def declared_daily(energy: UseCase, project: Path) -> Iterator[None]:
    """The view declares that its rows are published once a day."""
    file = project / "feature_repo" / "energy.py"
    before = file.read_text()
    file.write_text(before.replace('"event_timestamp")', '"event_timestamp", published_every=timedelta(days=1))'))
    repository.apply_if_changed()
    yield
    file.write_text(before)
    repository.apply_if_changed()


def effects(report: StalenessReport) -> dict[Publication, float]:
    return {effect.publication: effect.metric for effect in report.effects}


def test_as_declared_it_is_what_training_measured(report: StalenessReport) -> None:
    champion = perennial.champion("energy")
    assert report.version == champion.version
    assert report.value == pytest.approx(champion.metrics["holdout_rmse"])
    assert report.declared == {VIEW: AT_ONCE}


def test_the_later_readings_are_published_the_worse(report: StalenessReport) -> None:
    by_publication = {effect.publication: effect for effect in report.effects}
    hourly, daily = by_publication[HOURLY], by_publication[DAILY]
    assert report.value < hourly.metric < daily.metric
    for effect in (hourly, daily):
        assert effect.change == pytest.approx(report.value - effect.metric)
        assert effect.low <= effect.change <= effect.high < 0
    assert report.missing[VIEW] <= hourly.missing <= daily.missing


def test_declared_daily_is_priced_against_at_once(report: StalenessReport, energy: UseCase, declared_daily) -> None:
    daily = staleness.measure(energy)
    assert daily.declared == {VIEW: DAILY}
    assert daily.value == effects(report)[DAILY]
    assert effects(daily)[AT_ONCE] == report.value
    assert DAILY not in effects(daily)


def test_a_refit_on_the_same_features_is_the_same_model(report: StalenessReport, energy: UseCase) -> None:
    again = staleness.measure(energy, refit=True)
    assert again.value == pytest.approx(report.value)
    # A model that was fitted on readings of yesterday makes more of them than one that was not.
    assert effects(again)[DAILY] < effects(report)[DAILY]


def test_the_command_shows_the_same_and_changes_nothing(report: StalenessReport, energy: UseCase) -> None:
    before = lake.snapshots([energy.tables["meter_history"], energy.tables.predictions, energy.tables.ledger])
    shown = CliRunner().invoke(app, ["staleness", "energy", "--json"], catch_exceptions=False)
    assert json.loads(shown.stdout) == json.loads(json.dumps(report.as_json()))
    table = CliRunner().invoke(app, ["staleness", "energy", "--version", "1"], catch_exceptions=False).stdout
    for words in (VIEW, "at once (declared)", "every 1 hour", "every 1 day", "rmse", "95% bounds"):
        assert words in table
    assert lake.snapshots(list(before)) == before


def test_without_a_champion_it_says_what_to_do(energy: UseCase) -> None:
    with pytest.raises(UnknownVersion, match="no champion in production"):
        staleness.measure(SimpleNamespace(name="nobody", tables=TableNames("nobody")))
