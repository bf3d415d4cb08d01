"""Evidence of a verdict: the same JSON in the lake as ever, and records of other releases can be read."""

from __future__ import annotations

import json

import pytest

from perennial.monitoring.verdict import DriftedColumn, Verdict, VerdictEvidence

RECORDED = {
    "age": 3,
    "alarms": ["performance"],
    "coverage_needed": 0.8,
    "drift_score": 0.0,
    "drifted": {
        "x": {
            "distance": 0.2,
            "importance": 0.9,
            "method": "wasserstein",
            "ratio": 2.0,
            "reference": 0.1,
            "told": "wasserstein 0.20, 2.0 times its baseline",
            "why": "values",
        }
    },
    "label_coverage": 1.0,
    "labelled": 1000,
    "lived": 0.71,
    "lost": 0.04,
    "lost_uncertainty": float("inf"),
    "metric": "roc_auc",
    "model_version": 1,
    "new_data": "2013-03-01 to 2013-04-01",
    "partition": "2013-03",
    "persistence": [1, 1],
    "prediction_drift": None,
    "promised": 0.75,
    "quarantined": {"now": 0.0, "partitions": 3, "usual": None},
    "rows": 1000,
    "sustained": {},
}


@pytest.mark.parametrize(
    "recorded",
    [RECORDED, {"needed": 6, "partitions": 2}, {"rows": 0}, {"schedule": "@weekly"}, {"lived": None, "rows": 9}, {}],
    ids=["a verdict", "before the first model", "no examples", "a scheduled request", "an older record", "nothing"],
)
def test_evidence_is_written_as_it_was_read(recorded: dict) -> None:
    text = json.dumps(recorded, sort_keys=True)
    assert json.dumps(VerdictEvidence.from_json(text).as_json(), sort_keys=True) == text


def test_stored_keys_have_plain_names() -> None:
    evidence = VerdictEvidence.from_json(json.dumps(RECORDED))
    assert (evidence.expected, evidence.production) == (0.75, 0.71)
    assert evidence.drifted["x"].explanation == "wasserstein 0.20, 2.0 times its baseline"


def test_a_key_of_another_release_is_kept() -> None:
    evidence = VerdictEvidence.from_json('{"rows": 9, "of tomorrow": [1]}')
    assert evidence.model_extra == {"of tomorrow": [1]}
    assert evidence.as_json() == {"rows": 9, "of tomorrow": [1]}


def test_a_value_in_an_unknown_form_is_left_out() -> None:
    evidence = VerdictEvidence.from_json('{"rows": 9, "quarantined": 0.5, "drifted": {"x": 3}}')
    assert evidence.as_json() == {"rows": 9}


def test_a_verdict_passes_through_json_between_tasks() -> None:
    evidence = VerdictEvidence(expected=0.75, drifted={"x": DriftedColumn(explanation="gone", ratio=2.0)})
    verdict = Verdict(verdict="alarm", reason="drift", evidence=evidence)
    sent = json.loads(json.dumps(verdict.model_dump(mode="json")))
    assert sent["evidence"] == {"promised": 0.75, "drifted": {"x": {"told": "gone", "ratio": 2.0}}}
    assert Verdict(**sent) == verdict
