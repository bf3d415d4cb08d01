"""What served beside what served nobody: means over the same partitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import discovery
from perennial.evaluation import regret
from perennial.use_case import UseCase

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FLIGHTS, ENERGY = discovery.load("flights"), discovery.load("energy")
LIVE = {"2013-03": (0.74, 0.74), "2013-04": (0.76, 0.70), "2013-05": (0.72, 0.69)}


def replayed(use_case: UseCase, values: dict[str, tuple[float, float]], at: datetime = NOON) -> list[dict]:
    return [
        {"partition": key, "policy": policy, "metric": use_case.gate.metric, "value": value, "recorded_at": at}
        for key, both in values.items()
        for policy, value in zip((regret.ALWAYS, regret.BASELINE), both, strict=True)
    ]


def test_without_a_backtest_only_the_first_model_is_compared() -> None:
    seen = regret.of(FLIGHTS, LIVE, [])
    assert seen.champion == pytest.approx(0.74)
    assert seen.first_model == pytest.approx(0.71)
    assert seen.gained == pytest.approx(0.03)
    assert (seen.always, seen.baseline, seen.left, seen.at) == (None,) * 4
    assert "never retrained 0.7100 (champion +0.0300)" in str(seen)
    assert "baseline" not in str(seen)


def test_all_means_are_of_the_partitions_that_a_backtest_covers() -> None:
    rows = replayed(FLIGHTS, {"2013-03": (0.75, 0.5), "2013-04": (0.77, 0.5), "2013-09": (0.9, 0.9)})
    seen = regret.of(FLIGHTS, LIVE, rows)
    assert (seen.partitions, seen.measured, seen.span) == (2, 3, "2 of 3 partitions, 2013-03 to 2013-04")
    assert (seen.champion, seen.first_model, seen.always) == pytest.approx((0.75, 0.72, 0.76))
    assert seen.left == pytest.approx(0.01)
    assert str(seen).endswith("backtest of 2026-01-01")


def test_of_an_error_less_is_better() -> None:
    seen = regret.of(ENERGY, {"2024-01-04": (0.3, 0.6)}, replayed(ENERGY, {"2024-01-04": (0.25, 5.0)}))
    assert (seen.gained, seen.left) == pytest.approx((0.3, 0.05))
    assert [better for _, _, better in seen.references] == pytest.approx([0.3, -0.05, 4.7])


def test_the_newest_backtest_counts_and_the_oldest_date_is_shown() -> None:
    old = replayed(FLIGHTS, {"2013-03": (0.1, 0.1), "2013-04": (0.77, 0.5)})
    new = replayed(FLIGHTS, {"2013-03": (0.75, 0.5)}, NOON + timedelta(days=1))
    seen = regret.of(FLIGHTS, LIVE, [*new, *old])
    assert seen.always == pytest.approx(0.76)
    assert seen.at == NOON


def test_a_backtest_of_another_metric_does_not_count() -> None:
    rows = [row | {"metric": "brier"} for row in replayed(FLIGHTS, {"2013-03": (0.1, 0.1)})]
    assert regret.of(FLIGHTS, LIVE, rows).always is None


def test_a_first_model_that_is_not_measured_everywhere_is_left_out() -> None:
    seen = regret.of(FLIGHTS, LIVE | {"2013-06": (0.7, None)}, [])
    assert (seen.first_model, seen.gained) == (None, None)


def test_before_anything_served_there_is_none() -> None:
    assert regret.of(FLIGHTS, {"2013-03": (None, None)}, replayed(FLIGHTS, {"2013-03": (0.7, 0.5)})) is None


def test_metrics_that_were_measured_together_are_paired() -> None:
    row = {"partition": "2013-03", "metric": "roc_auc", "model_version": 2, "recorded_at": NOON}
    later = {"recorded_at": NOON + timedelta(hours=1)}
    rows = [
        row | {"role": "champion", "value": 0.8} | later,
        row | {"role": "first", "value": 0.6, "model_version": 1},
        row | {"role": "champion", "value": 0.7},
        row | {"role": "champion", "value": 0.1, "metric": "brier"} | later,
    ]
    assert regret.live(rows, "roc_auc") == {"2013-03": (0.8, None)}
    assert regret.live(rows[1:], "roc_auc") == {"2013-03": (0.7, 0.6)}
    assert regret.live(rows, "roc_auc", version=1) == {}


@given(
    st.dictionaries(
        st.sampled_from([f"2013-{month:02}" for month in range(1, 13)]),
        st.tuples(*[st.floats(0, 1) for _ in range(4)]),
        min_size=1,
    ),
    st.data(),
)
def test_the_parts_add_up_whatever_is_covered(values: dict[str, tuple[float, ...]], data: st.DataObject) -> None:
    covered = data.draw(st.sets(st.sampled_from(sorted(values))))
    live = {key: (one[0], one[1]) for key, one in values.items()}
    rows = replayed(FLIGHTS, {key: (values[key][2], values[key][3]) for key in covered})
    seen = regret.of(FLIGHTS, live, rows)
    compared = covered or values.keys()
    assert seen.partitions == len(compared)
    assert seen.gained == pytest.approx(sum(values[key][0] - values[key][1] for key in compared) / len(compared))
    if covered:
        assert seen.left == pytest.approx(sum(values[key][2] - values[key][0] for key in covered) / len(covered))
