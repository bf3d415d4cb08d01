"""`perennial status USE_CASE` where predictions were served."""

from __future__ import annotations

from rich.console import Console

from perennial import discovery
from perennial.cli import services
from perennial.evaluation import regret
from perennial.reporting.partition_status import PartitionStatus, PredictionsMade, UseCaseStatus

_DAY = {"rows": 9, "quarantined": 0, "waiting": 0, "champion": 1, "metric": 0.5, "first_model_metric": 0.5}
_REST = {"drifted_columns": 0, "verdict": "healthy", "done": "-"}


def shown(*made: PredictionsMade | None) -> str:
    days = [
        PartitionStatus(partition=f"2024-01-{day:02}", predictions=each, **_DAY, **_REST)  # type: ignore[arg-type]
        for day, each in enumerate(made, 1)
    ]
    state = UseCaseStatus(name="energy", title="Energy", owner="ada", metric="rmse", champion=1, partitions=tuple(days))
    out = Console(width=100)
    with out.capture() as captured:
        services._show_state(out, state)
    return captured.get()


def test_it_counts_the_newest_predictions_that_were_served() -> None:
    made = PredictionsMade(served=1200, on_request=200, ahead=1000, backfilled=800)
    text = shown(PredictionsMade(10, 10, 0, 0), made, None)
    assert "Predicted  2024-01-02: 200 on request, 1,000 ahead, 800 backfilled\n" in text
    row = next(line for line in text.splitlines() if line.startswith("2024-01-02"))
    assert row.split()[-3:] == ["10+50%", "healthy", "-"]


def test_it_shows_the_regret_and_how_to_measure_what_is_missing() -> None:
    days = {"2024-01-04": (0.3, 0.6), "2024-01-05": (0.5, 0.8)}
    measured = regret.of(discovery.load("energy"), days, [])
    state = UseCaseStatus("energy", "Energy", "ada", "rmse", 1, (), regret=measured)
    out = Console(width=200)
    with out.capture() as captured:
        services._show_state(out, state)
    text = captured.get()
    assert "Regret     mean rmse of 2 partitions, 2024-01-04 to 2024-01-05: champion 0.4000" in text
    assert "never retrained 0.7000 (champion +0.3000)" in text
    assert "baseline model: not measured, run `perennial backtest energy`" in text


def test_it_says_nothing_where_none_was() -> None:
    assert "Predicted" not in shown(None, None)
