"""What a server counts, in Prometheus' text format."""

from __future__ import annotations

from served import version

from perennial.serving.answers import Prediction, PredictionResponse
from perennial.serving.champions import Champions
from perennial.serving.metrics import Metrics


def answered(missing: int = 0) -> PredictionResponse:
    features = {f"f{number}": "expired" for number in range(missing)}
    return PredictionResponse(
        use_case="energy",
        model_version=1,
        predictions=[Prediction(prediction_id="x", prediction=0.5, missing=features)],
    )


def test_durations_are_counted_up_to_each_bound() -> None:
    metrics = Metrics(Champions([version().use_case]))
    for seconds in (0.001, 0.002, 0.3, 60.0):
        metrics.answered(answered(), seconds)
    shown = metrics.exposition().decode()
    for bound, count in (("0.001", 1), ("0.0025", 2), ("0.25", 2), ("0.5", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'perennial_serving_seconds_bucket{{le="{bound}",use_case="energy"}} {count}.0' in shown
    assert 'perennial_serving_seconds_count{use_case="energy"} 4.0' in shown
    assert 'perennial_serving_seconds_sum{use_case="energy"} 60.303' in shown


def test_two_servers_of_a_process_count_apart() -> None:
    first, second = (Metrics(Champions([version().use_case])) for _ in range(2))
    first.answered(answered(missing=2), 0.1)
    first.refused("energy", 422)
    second.answered(answered(), 0.1)
    shown = first.exposition().decode()
    assert 'perennial_serving_missing_features_total{reason="expired",use_case="energy"} 2.0' in shown
    assert 'perennial_serving_requests_total{status="422",use_case="energy"} 1.0' in shown
    assert "422" not in second.exposition().decode()
