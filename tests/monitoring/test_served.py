"""Verdicts judge what was served, where enough of it has labels; else all predictions, and they say which."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from perennial import Cadence, DriftPolicy, Retraining, lake
from perennial.monitoring import expectation, monitor, performance, rules
from perennial.monitoring.performance import Performance
from perennial.monitoring.rules import Observations
from perennial.quarantine import QuarantineShare
from perennial.registry import ledger
from perennial.reporting import partition_status, terminal
from perennial.use_case import UseCase

DAY = Cadence.DAILY.partition("2024-01-05")
MOMENT = pa.timestamp("us", tz="UTC")


@pytest.fixture
def use_case(home: Path, energy: UseCase) -> UseCase:
    """A use case without any table, whose first version is in production."""
    drift = energy.drift.model_copy(update={"min_rows": 20, "min_coverage": 0.5})
    made = energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}", "drift": drift})
    promote(made, 1)
    return made


def promote(use_case: UseCase, version: int) -> None:
    ledger.record(
        use_case,
        partition=DAY.previous.key,
        action="promoted",
        model_version=version,
        previous_version=version - 1 or None,
        model_run="run",
        effective_from=DAY.start,
        actor="ada",
        reason="a test",
        evidence={},
    )


def store(use_case: UseCase, rows: list[tuple[str | None, bool]], version: int = 1, known: bool = True) -> None:
    """Examples whose label is 1, with predictions: 1 where they were served, else 3; and whether a label is known."""
    moments = [DAY.start + timedelta(minutes=number) for number in range(len(rows))]
    count = len(rows)
    keys = {
        "partition": [DAY.key] * count,
        "site": ["s"] * count,
        "meter": ["m"] * count,
        "read_at": pa.array(moments, MOMENT),
        "event_timestamp": pa.array(moments, MOMENT),
    }
    keys = {name: keys[name] for name in ("partition", "event_timestamp", *use_case.examples.key)}
    labels = pa.array([1.0 if has_label else None for _, has_label in rows], pa.float64())
    lake.replace(use_case.tables.examples, DAY.key, pa.table({**keys, "label": labels}))
    predicted = {
        **keys,
        "prediction": [1.0 if served else 3.0 for served, _ in rows],
        "model_version": pa.array([version] * count, pa.int64()),
    }
    if known:
        predicted["served_as"] = pa.array([served or "backfilled" for served, _ in rows], pa.string())
    lake.replace(use_case.tables.predictions, DAY.key, pa.table(predicted))


def measure(use_case: UseCase) -> Performance:
    return performance.measure(use_case, DAY, 1)


def mean_error(measured: Performance) -> float:
    return measured.champion["mae"]


def test_served_predictions_are_judged_first(use_case: UseCase) -> None:
    store(use_case, [("champion", True)] * 20 + [("ahead", True)] * 5 + [(None, True)] * 40)
    measured = measure(use_case)
    assert (measured.rows, measured.served, measured.judged, measured.is_of_served) == (65, 25, 25, True)
    assert measured.ahead == 5
    assert mean_error(measured) == 0.0


@pytest.mark.parametrize(
    "served",
    [[("champion", True)] * 19, [("champion", True)] * 20 + [("champion", False)] * 21, [("shadow", True)] * 30],
    ids=["few", "few labels", "shadow"],
)
def test_too_few_served_ones_are_judged_with_all(use_case: UseCase, served: list) -> None:
    store(use_case, served + [(None, True)] * 100)
    measured = measure(use_case)
    assert not measured.is_of_served
    assert measured.judged == measured.labelled > 100
    assert mean_error(measured) > 1.0


@pytest.mark.parametrize("known", [True, False], ids=["backfilled", "an older release's"])
def test_where_nothing_was_served_all_are_judged(use_case: UseCase, known: bool) -> None:
    store(use_case, [(None, True)] * 30, known=known)
    measured = measure(use_case)
    assert (measured.served, measured.judged, measured.is_of_served) == (0, 30, False)


def test_a_challengers_answers_are_not_the_champions(use_case: UseCase) -> None:
    store(use_case, [("canary", True)] * 30, version=2)
    assert monitor._scoring_version(use_case, DAY) is None
    promote(use_case, 2)
    assert monitor._scoring_version(use_case, DAY) == 2


def decide(measured: Performance) -> monitor.Verdict:
    declared = SimpleNamespace(
        cadence=Cadence.DAILY,
        drift=DriftPolicy(warning=0.2, alarm=0.5, performance_drop=0.03, min_rows=20),
        gate=SimpleNamespace(metric="mae"),
        retraining=Retraining(),
    )
    champion = SimpleNamespace(
        model_version=1,
        effective_from=datetime(2024, 1, 1, tzinfo=UTC),
        evidence={"metrics": {"challenger": {"mae": 0.5}}},
    )
    quarantined = QuarantineShare(now=0.0, usual=0.0, partitions=3)
    expected = expectation.of_decision(champion, 1)  # type: ignore[arg-type]
    observed = Observations(DAY, champion, measured.rows, measured, [], {}, quarantined, expected)  # type: ignore[arg-type]
    return rules.decide(declared, observed)  # type: ignore[arg-type]


SERVED = Performance(1000, 900, {"mae": 0.5}, served=400, served_labelled=300, ahead=150, is_of_served=True)


def test_a_verdict_says_what_it_judged() -> None:
    of_served = decide(SERVED)
    assert of_served.explanation.endswith(" (performance of 300 served predictions)")
    assert (of_served.evidence.served, of_served.evidence.ahead, of_served.evidence.judged) == (400, 150, "served")
    of_all = decide(replace(SERVED, is_of_served=False))
    assert of_all.explanation.endswith(
        " (performance of all predictions: too few of the 400 that were served have labels)"
    )
    assert of_all.evidence.judged == "all"
    alarm = decide(replace(SERVED, champion={"mae": 2.0}))
    assert alarm.explanation.startswith("mae is 2 on 300 labels of served predictions where 0.5 was expected")


def test_a_verdict_on_backfilled_predictions_stays_as_it_was() -> None:
    backfilled = decide(replace(SERVED, served=0, served_labelled=0, ahead=0, is_of_served=False))
    assert "served" not in backfilled.explanation
    assert {"served", "ahead", "judged"}.isdisjoint(backfilled.evidence.as_json())


def status_of(use_case: UseCase, verdict: monitor.Verdict) -> partition_status.UseCaseStatus:
    """The status after a verdict was recorded, with nothing but the day that it is about."""
    monitor._record(use_case, DAY, 1, None, monitor.KnownLabels(), verdict)
    state = partition_status.status(use_case)
    return replace(state, partitions=tuple(each for each in state.partitions if each.partition == DAY.key))


def headings(state: partition_status.UseCaseStatus) -> list[object]:
    return [column.header for column in terminal.table(state).columns]


MADE = Performance(65, 65, {"mae": 0.5}, served=26, served_labelled=26, ahead=13)


def test_the_status_tells_predictions_on_request_ahead_and_backfilled_apart(use_case: UseCase) -> None:
    state = status_of(use_case, decide(MADE))
    (row,) = state.partitions
    assert row.predictions == partition_status.PredictionsMade(served=26, on_request=13, ahead=13, backfilled=39)
    assert str(row.predictions) == "13 on request, 13 ahead, 39 backfilled"
    assert (row.predictions.share_served, row.predictions.share_ahead) == (0.4, 0.2)
    assert "request\n+ ahead" in headings(state)
    (shown,) = state.as_json()["partitions"]
    assert shown["predictions"] == {"served": 26, "on_request": 13, "ahead": 13, "backfilled": 39}


def test_where_nothing_was_made_ahead_the_table_shows_one_share(use_case: UseCase) -> None:
    state = status_of(use_case, decide(replace(MADE, ahead=0)))
    assert "served" in headings(state)
    assert "request\n+ ahead" not in headings(state)


def test_where_nothing_was_served_the_status_says_nothing_of_it(use_case: UseCase) -> None:
    state = status_of(use_case, decide(replace(MADE, served=0, served_labelled=0, ahead=0)))
    assert state.partitions[0].predictions is None
    assert {"served", "request\n+ ahead"}.isdisjoint(headings(state))


def test_a_verdict_from_before_they_were_told_apart_still_counts(use_case: UseCase) -> None:
    made = decide(MADE)
    state = status_of(use_case, made.model_copy(update={"evidence": made.evidence.model_copy(update={"ahead": None})}))
    (row,) = state.partitions
    assert row.predictions == partition_status.PredictionsMade(served=26, on_request=None, ahead=None, backfilled=39)
    assert str(row.predictions) == "26 on request or ahead, 39 backfilled"
    assert "served" in headings(state)
