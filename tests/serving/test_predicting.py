"""Predictions on request: equal to batch scoring, from the ledger's champion, with what is missing named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from msgspec import structs
from pipelines import run_loop_until

import perennial
from perennial import lake
from perennial.errors import InvalidExamples, MissingFeatures, PredictionFailed, UnknownUseCase, UnknownVersion
from perennial.registry import ledger, tracking
from perennial.serving import loaded_version, predicting
from perennial.serving.answering import answer_together
from perennial.serving.compiled_models.steps import NotCompiled
from perennial.serving.requests import PredictionRequest
from perennial.use_case import ServingPolicy, UseCase

#: The last hour of the fifth day: what was known then is what the online store has.
LAST = datetime(2024, 1, 5, 23, tzinfo=UTC)
KEY = ("site", "meter", "read_at")


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """After five days: a first model from the third day on, two days scored."""
    run_loop_until(energy, "2024-01-05")
    return energy


@pytest.fixture
def asked(energy: UseCase) -> list[dict]:
    """The examples of the last hour as requests: every meter once."""
    rows = lake.read(energy.tables.examples, where=lake.equals("event_timestamp", LAST)).to_pylist()
    return [{name: row[name] for name in (*KEY, *energy.examples.request_features)} for row in rows]


@pytest.fixture
def version(energy: UseCase) -> loaded_version.LoadedVersion:
    return loaded_version.current(energy)


def test_the_ledgers_champion_answers_each_example_in_order(energy: UseCase, asked: list[dict]) -> None:
    answer = perennial.predict("energy", asked, at=LAST)
    assert answer.model_version == ledger.champion(energy).model_version
    assert [each.key for each in answer.predictions] == [{name: row[name] for name in KEY} for row in asked]
    assert all(each.missing == {} for each in answer.predictions)
    assert len({UUID(each.prediction_id) for each in answer.predictions}) == len(asked)


def test_the_alias_in_mlflow_decides_nothing(energy: UseCase, asked: list[dict]) -> None:
    tracking.client().delete_registered_model_alias("energy", "champion")
    try:
        assert perennial.predict("energy", asked[0], at=LAST).model_version == 1
    finally:
        tracking.client().set_registered_model_alias("energy", "champion", "1")


def test_one_example_may_be_asked_without_its_key(asked: list[dict]) -> None:
    answer = perennial.predict("energy", asked[0], at=LAST)
    without = {name: value for name, value in asked[0].items() if name != "read_at"}
    alone = perennial.predict("energy", without, at=LAST)
    assert alone.predictions[0].key is None
    assert alone.predictions[0].prediction == answer.predictions[0].prediction


def test_the_features_used_are_returned_with_their_times(energy: UseCase, asked: list[dict]) -> None:
    plain = perennial.predict("energy", asked[0], at=LAST).predictions[0]
    assert (plain.features, plain.event_timestamps) == (None, None)
    used = perennial.predict("energy", asked[0], at=LAST, features=True).predictions[0]
    assert set(used.features) == {"hour_sin", "hour_cos", "meter_last", "meter_mean_24h"}
    assert used.event_timestamps == {"energy_meter_history": LAST}


def test_expired_and_unknown_are_null_and_named(asked: list[dict]) -> None:
    later = LAST + timedelta(days=2, microseconds=1)
    expired = perennial.predict("energy", asked[0], at=later, features=True).predictions[0]
    assert expired.missing == {"meter_last": "expired", "meter_mean_24h": "expired"}
    assert expired.features["meter_last"] is None
    exactly = perennial.predict("energy", asked[0], at=later - timedelta(microseconds=1)).predictions[0]
    assert exactly.missing == {}
    unknown = perennial.predict("energy", {**asked[0], "meter": "nowhere"}, at=LAST).predictions[0]
    assert unknown.missing == {"meter_last": "not-found", "meter_mean_24h": "not-found"}
    assert unknown.prediction == expired.prediction


def test_ages_count_to_now_without_a_stated_moment(asked: list[dict]) -> None:
    assert set(perennial.predict("energy", asked[0]).predictions[0].missing.values()) == {"expired"}
    naive = perennial.predict("energy", asked[0], at=LAST.replace(tzinfo=None)).predictions[0]
    assert naive.missing == {}, "a time without a zone is UTC"


def test_a_use_case_may_refuse_without_features(version: loaded_version.LoadedVersion, asked: list[dict]) -> None:
    strict = version.use_case.model_copy(update={"serving": ServingPolicy(on_missing="refuse")})
    refusing = loaded_version.LoadedVersion(**{**vars(version), "use_case": strict})
    assert predicting.answer(refusing, asked, at=LAST).model_version == 1
    with pytest.raises(MissingFeatures, match=r"examples\[1\]\.meter_last: not-found") as refused:
        predicting.answer(refusing, [asked[0], {**asked[1], "meter": "nowhere"}], at=LAST)
    assert refused.value.problems == (
        ("examples[1].meter_last", "not-found"),
        ("examples[1].meter_mean_24h", "not-found"),
    )


def test_all_problems_of_a_request_are_listed(asked: list[dict]) -> None:
    wrong = {"site": None, "metre": "m1", "hour_sin": "high", "hour_cos": 1}
    with pytest.raises(InvalidExamples) as invalid:
        perennial.predict("energy", [asked[0], wrong], at=LAST)
    assert dict(invalid.value.problems) == {
        "examples[1].metre": "unknown field. Did you mean 'meter'?",
        "examples[1].site": "null is not allowed: it is part of a key",
        "examples[1].meter": "missing",
        "examples[1].hour_sin": "expected float | null, got str",
    }


def test_a_version_is_loaded_once_until_the_ledger_changes(energy: UseCase, asked: list[dict], monkeypatch) -> None:
    before = loaded_version.current(energy)
    assert loaded_version.current(energy) is before
    entry = ledger.champion(energy)
    later = ledger.Entry(**{**vars(entry), "event_id": "rollback:test"})
    monkeypatch.setattr(ledger, "champion", lambda use_case: later)
    assert loaded_version.current(energy).entry == later


def test_a_model_that_fails_is_named(version: loaded_version.LoadedVersion, asked: list[dict]) -> None:
    def fail(frame: object) -> None:
        raise ValueError("Input X contains NaN")

    failing = replace(version, predict=fail, compiled=None)
    with pytest.raises(PredictionFailed, match=r"Version 1 of model 'energy' failed.*contains NaN"):
        predicting.answer(failing, asked, at=LAST)
    infinite = replace(version, predict=lambda frame: [float("inf")] * len(frame), compiled=None)
    with pytest.raises(PredictionFailed, match=r"predicted inf for examples\[0\]"):
        predicting.answer(infinite, asked, at=LAST)


def test_without_a_champion_it_says_how_to_train_one(energy: UseCase) -> None:
    with pytest.raises(UnknownVersion, match="no champion in production yet"):
        perennial.predict("flights", {})
    with pytest.raises(UnknownUseCase):
        perennial.predict("energie", {})


def test_a_prediction_equals_that_of_batch_scoring(energy: UseCase, asked: list[dict]) -> None:
    scored = lake.read(energy.tables.predictions, where=lake.equals("event_timestamp", LAST)).to_pylist()
    by_key = {tuple(row[name] for name in KEY): row for row in scored}
    assert len(by_key) == len(asked) > 1
    for row, served in zip(asked, perennial.predict("energy", asked, at=LAST, features=True).predictions, strict=True):
        batch = by_key[tuple(row[name] for name in KEY)]
        alone = perennial.predict("energy", row, at=LAST).predictions[0]
        assert served.features == {name: batch[name] for name in served.features}
        assert served.prediction == batch["prediction"]
        # Some processors round the product of one row otherwise than that of many.
        assert alone.prediction == pytest.approx(batch["prediction"], rel=1e-12)


def test_requests_answered_together_equal_single_ones(version: loaded_version.LoadedVersion, asked: list[dict]) -> None:
    assert version.predicts_jointly
    assert version.reads_jointly
    unknown = {**asked[1], "meter": "nowhere", "hour_sin": None}
    requests = [PredictionRequest(examples, LAST) for examples in ([asked[0]], asked, [unknown], asked[2:4])]
    together = answer_together(version, requests)
    for request, answer in zip(requests, together, strict=True):
        alone = predicting.answer(version, request.examples, at=LAST)
        assert [each.prediction for each in answer.predictions] == [each.prediction for each in alone.predictions]
        assert [each.missing for each in answer.predictions] == [each.missing for each in alone.predictions]


def test_a_compiled_model_answers_as_its_pipeline_does(
    version: loaded_version.LoadedVersion, asked: list[dict]
) -> None:
    assert version.compiled is not None
    pipeline = replace(version, compiled=None)
    unknown = {**asked[1], "meter": "nowhere", "hour_sin": None}
    requests = [PredictionRequest(examples, LAST, features=True) for examples in ([asked[0]], asked, [unknown])]
    answers = [answer_together(each, requests) for each in (version, pipeline)]
    for compiled, plain in zip(*answers, strict=True):
        for one, other in zip(compiled.predictions, plain.predictions, strict=True):
            assert structs.replace(one, prediction_id="") == structs.replace(other, prediction_id="")


def test_a_compiled_model_may_leave_rows_to_the_pipeline(
    version: loaded_version.LoadedVersion, asked: list[dict]
) -> None:
    def refuse(rows: object) -> None:
        raise NotCompiled("a text is unknown")

    expected = predicting.answer(version, asked, at=LAST)
    model = SimpleNamespace(predict=refuse, columns=version.compiled.model.columns)
    refusing = replace(version, compiled=replace(version.compiled, model=model))
    answered = predicting.answer(refusing, asked, at=LAST)
    assert [each.prediction for each in answered.predictions] == [each.prediction for each in expected.predictions]
