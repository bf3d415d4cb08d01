"""The worked example of several classes, through the pipelines: one is rare, one vanishes and one appears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from copied_examples import copied
from pipelines import decide, run_features, run_features_until

from perennial import gate, lake, scoring
from perennial.backtesting import running
from perennial.errors import BadFeatures
from perennial.lake import prediction_columns
from perennial.monitoring import monitor
from perennial.monitoring.monitor import Verdict
from perennial.reproduce import refit
from perennial.served_predictions import table as served_predictions
from perennial.serving import predicting
from perennial.training import planning
from perennial.use_case import UseCase

#: Sold from 2025-02-12 on.
NEW = "subscriptions"
SERVED = "20250303-000"


@dataclass(frozen=True)
class World:
    """The example after nine weeks.

    Attributes:
        use_case: As the example declares it, with the class that appears.
        refused: How the week was refused in which it appeared, before it was declared.
        first, second: The gate's decisions, of which only the second knows the class.
        verdicts: Of the last week that the first model predicted, and the first one of the second.
    """

    use_case: UseCase
    refused: BadFeatures
    first: gate.GateDecision
    second: gate.GateDecision
    verdicts: dict[str, Verdict]


@pytest.fixture(scope="module")
def world(home: Path, mlflow_server: str) -> Iterator[World]:
    with copied("tickets", home) as whole:
        before = whole.model_copy(
            update={
                "classes": tuple(name for name in whole.classes if name != NEW),
                "gate": whole.gate.model_copy(update={"refit": False}),  # Of the second model it is made.
            }
        )
        run_features_until(before, "2025-02-03")
        first = decide(before, "first")
        verdicts = {}
        with pytest.raises(BadFeatures) as refused:
            run_features(before, before.partition("2025-02-10"))
        for week in whole.partition("2025-02-10").through(whole.partition("2025-02-24")):
            run_features(whole, week)
        verdicts["2025-02-24"] = scored(whole, "2025-02-24")
        second = decide(whole, "second")
        run_features(whole, whole.partition("2025-03-03"))
        serve_one(whole)
        verdicts["2025-03-03"] = scored(whole, "2025-03-03")
        yield World(whole, refused.value, first, second, verdicts)


def serve_one(use_case: UseCase) -> None:
    """A prediction of one ticket that was served by the first model, before there was a new class."""
    moment = datetime(2025, 3, 3, tzinfo=UTC)
    known = use_case.model_copy(update={"classes": use_case.classes[:-1]})
    made = {
        "ticket": [SERVED],
        "prediction_id": ["served"],
        **dict.fromkeys(("event_timestamp", "answered_at"), pa.array([moment], pa.timestamp("us", tz="UTC"))),
        "served_as": ["champion"],
        "model_version": pa.array([1], pa.int64()),
        "model_run": ["run"],
        "error": pa.array([None], pa.string()),
        "words": pa.array([1000], pa.int64()),
    }
    predicted = np.array([[0.1, 0.1, 0.2, 0.6, 0.0]])
    served_predictions.append(known, pa.table(made | prediction_columns.written(known, predicted)))


def scored(use_case: UseCase, key: str) -> Verdict:
    week = use_case.partition(key)
    scoring.score(use_case, week)
    return monitor.monitor(use_case, week)


def predictions(key: str) -> pl.DataFrame:
    return pl.DataFrame(lake.read("tickets.predictions", partitions=[key]))


def test_a_first_model_is_better_than_how_frequent_classes_are(world) -> None:
    assert world.first.promote, world.first.reason
    assert world.first.metrics["challenger"]["log_loss"] < world.first.metrics["rival"]["log_loss"] - 0.2


def test_a_class_that_nobody_declared_is_refused_by_name(world) -> None:
    assert "'subscriptions' of" in world.refused.problem
    assert "'2025-02-10'" in world.refused.problem
    assert "classes in include/use_cases/tickets/use_case.py" in world.refused.fix


def test_a_version_from_before_gives_a_new_class_no_probability(world) -> None:
    made = predictions("2025-02-24")
    assert made["model_version"].unique().to_list() == [world.first.challenger]
    assert made["probability_subscriptions"].unique().to_list() == [0.0]
    assert set(made["prediction"]) <= {*world.use_case.classes} - {NEW}
    assert made.select(pl.sum_horizontal(pl.col(r"^probability_.*$"))).to_series().to_numpy() == pytest.approx(1)


def test_the_prediction_is_the_most_probable_class(world) -> None:
    made = predictions("2025-03-03")
    columns = list(prediction_columns.probabilities(world.use_case))
    most = made.select(columns).fill_null(0.0).to_numpy().argmax(axis=1)
    assert made["prediction"].to_list() == [world.use_case.classes[place] for place in most]


def test_a_model_that_knows_the_new_class_replaces_it_and_predicts_it(world) -> None:
    assert world.second.promote, world.second.reason
    made = predictions("2025-03-03")
    assert (made["prediction"] == NEW).sum() > 20
    assert made["probability_migration"].unique().to_list() == [0.0], "it vanished before the window to fit on"


def test_a_served_prediction_counts_with_the_probabilities_that_were_told(world) -> None:
    made = predictions("2025-03-03")
    (served,) = made.filter(pl.col("served_as") == "champion").to_dicts()
    assert (served["ticket"], served["prediction"], served["words"]) == (SERVED, "fraud", 1000)
    assert (served["probability_fraud"], served["probability_subscriptions"]) == (0.6, None)


def test_the_version_that_serves_answers_with_the_class_and_all_probabilities(world) -> None:
    asked = {"product": "games", "channel": "chat", "words": 30, "attachments": 0, "amount": 9.5}
    response = predicting.predict("tickets", asked)
    (answer,) = response.predictions
    assert response.model_version > world.second.evaluated
    assert list(answer.probabilities) == list(world.use_case.classes)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.prediction == max(answer.probabilities, key=answer.probabilities.__getitem__)


def test_each_class_is_in_the_evidence_of_the_gate_and_of_the_monitor(world) -> None:
    assert world.first.classes.keys() == {*world.use_case.classes} - {NEW}
    assert world.first.classes["migration"].fitted > 50
    assert world.second.classes["migration"].fitted == 0
    assert any(each.startswith("label=fraud (") for each in world.first.not_evaluated)
    assert "| subscriptions |" in world.second.markdown()
    before, after = (verdict.evidence.classes[NEW] for verdict in world.verdicts.values())
    assert (before.right, before.fitted) == (0, 0)
    assert after.right > 0.5 * after.labels
    assert f"class '{NEW}' has" in world.verdicts["2025-02-24"].explanation


def test_performance_is_estimated_without_labels(world) -> None:
    evidence = world.verdicts["2025-02-24"].evidence
    assert evidence.estimate.value == pytest.approx(world.first.metrics["challenger"]["log_loss"], abs=0.2)
    assert evidence.estimate.value < evidence.production - 1, "it cannot see that rows got another label"


def test_a_backtest_finds_that_refitting_beats_how_frequent_classes_are(world) -> None:
    report = running.run(world.use_case, world.use_case.first, world.use_case.partition("2025-03-03"), compared=[])
    means = {each.name: each.mean for each in report.policies}
    assert means["always"] < means["never"], "which knows nothing of the new class"
    assert means["always"] < means["baseline"] - 0.2
    again = running.run(world.use_case, world.use_case.first, world.use_case.partition("2025-03-03"), compared=[])
    assert (again.fits_made, {each.name: each.mean for each in again.policies}) == (0, means)


def test_a_version_is_made_again_to_the_bit(world) -> None:
    reproduction = refit.reproduce(world.use_case, world.second.evaluated)
    assert {part.name: part.equal for part in reproduction.parts}["predictions"], reproduction


def test_a_class_that_is_removed_while_rows_have_it_is_refused_by_training(world) -> None:
    fewer = world.use_case.model_copy(update={"classes": tuple(n for n in world.use_case.classes if n != "fraud")})
    plan = planning.plan_training(fewer, None, {})
    with pytest.raises(
        BadFeatures, match=r"window 2025-01-27\.\.2025-03-03: labels that are no declared class: 'fraud'"
    ):
        planning.build_training_set(fewer, plan)


def test_a_new_class_is_a_loss_of_performance(world) -> None:
    verdict = world.verdicts["2025-02-24"]
    assert verdict.verdict == "alarm", verdict.explanation
    assert verdict.reason == "performance"
    assert world.verdicts["2025-03-03"].evidence.production < verdict.evidence.production - 1
    assert np.isfinite(verdict.evidence.production)
