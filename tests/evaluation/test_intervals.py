"""Prediction intervals on arrays: the margin's rank, what holds for all of them, and how often they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from perennial.evaluation import intervals
from perennial.evaluation.intervals import Intervals
from perennial.use_case.interval import fewest_rows

NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
COVERAGE = st.floats(min_value=0.05, max_value=0.99)


@st.composite
def predicted(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Labels, predictions and, of some models, quantiles that may cross and may not hold the prediction."""
    rows = draw(st.integers(min_value=1, max_value=40))
    label, prediction = (draw(arrays.arrays(float, rows, elements=NUMBERS)) for _ in range(2))
    quantiles = draw(st.none() | arrays.arrays(float, (rows, 2), elements=NUMBERS))
    return label, prediction, quantiles


@given(arrays.arrays(float, st.integers(min_value=1, max_value=60), elements=NUMBERS), COVERAGE)
def test_the_margin_is_the_score_of_its_rank(score, coverage) -> None:
    chosen = intervals.margin(score, coverage)
    if len(score) < fewest_rows(coverage):
        assert chosen == np.inf
    else:
        assert chosen in score
        # At least so many of n + 1, the new row among them, are no larger; and no smaller score would do.
        assert (score <= chosen).sum() + 1e-6 >= (len(score) + 1) * coverage
        assert (score < chosen).sum() < (len(score) + 1) * coverage


@pytest.mark.parametrize(("coverage", "expected"), [(0.9, 9.0), (0.5, 5.0), (0.05, 1.0), (0.91, np.inf)])
def test_nine_scores(coverage, expected) -> None:
    assert intervals.margin(np.arange(1.0, 10.0), coverage) == expected


def test_a_rank_is_not_moved_by_the_last_bit_of_a_float() -> None:
    assert 0.58 * 50 < 29 < 0.56 * 50 + 1.0000000000001  # As floats.
    assert intervals.margin(np.arange(49.0), 0.58) == 28
    assert intervals.margin(np.arange(49.0), 0.56) == 27


def test_ties_count_by_their_number() -> None:
    assert intervals.margin(np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 2]), 0.8) == 1
    assert intervals.margin(np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 2]), 0.9) == 2


@given(predicted(), COVERAGE, COVERAGE)
def test_a_higher_coverage_never_narrows(rows, one, other) -> None:
    label, prediction, quantiles = rows
    score = intervals.scores(label, prediction, quantiles)
    narrow, wide = (intervals.margin(score, each) for each in sorted((one, other)))
    assert narrow <= wide
    if np.isfinite(wide):
        (low, high), (lower, upper) = (intervals.bounds(prediction, quantiles, each) for each in (narrow, wide))
        assert (lower <= low).all()
        assert (high <= upper).all()


@given(predicted(), NUMBERS)
def test_an_interval_always_holds_its_prediction(rows, margin) -> None:
    _, prediction, quantiles = rows
    lower, upper = intervals.bounds(prediction, quantiles, margin)
    assert (lower <= prediction).all()
    assert (prediction <= upper).all()


@given(predicted())
def test_a_row_is_covered_exactly_from_its_score_on(rows) -> None:
    label, prediction, quantiles = (None if each is None else np.round(each) for each in rows)
    score = intervals.scores(label, prediction, quantiles)
    for margin, is_covered in ((score, True), (score + 1, True), (score - 1, label == prediction)):
        covered = Intervals(label, *intervals.bounds(prediction, quantiles, margin)).covered
        assert (covered == is_covered).all()


def test_each_block_is_judged_by_the_others() -> None:
    score, block = np.array([1.0, 2, 3, 10, 20, 30, 5, 5, 5]), np.repeat([0, 1, 2], 3)
    expected = [intervals.margin(score[block != each], 0.8) for each in range(3)]
    assert intervals.cross_fitted(score, block, 0.8).tolist() == np.repeat(expected, 3).tolist()


def test_a_block_without_enough_others_has_no_interval() -> None:
    judged = intervals.cross_fitted(np.arange(12.0), np.repeat([0, 1], [10, 2]), 0.8)
    assert np.isnan(judged[:10]).all()
    assert np.isfinite(judged[10:]).all()


def test_rows_without_an_interval_are_left_out() -> None:
    nothing = np.array([np.nan, 0.0, 0.0])
    its, known = Intervals.known(np.array([1, 2, 3]), nothing, np.array([5, 5, 2]))
    assert known.tolist() == [False, True, True]
    assert its.metrics(0.8) == pytest.approx(
        {"interval_coverage": 0.5, "interval_width": 3.5, "interval_score": 3.5 + 10 / 2}
    )
    assert Intervals.known(nothing[:1], nothing[:1], nothing[:1])[0].metrics(0.8) == {}


def test_exchangeable_rows_are_covered_as_declared() -> None:
    """Over 2,000 holdouts of 59 rows: the mean coverage is between the declared one and 1 / (n + 1) more."""
    drawn, rows = np.random.default_rng(1), 59
    reached = []
    for _ in range(2_000):
        label, new = drawn.gumbel(size=rows), drawn.gumbel(size=50)
        margin = intervals.margin(intervals.scores(label, np.zeros(rows), None), 0.9)
        reached.append(Intervals(new, *intervals.bounds(np.zeros(50), None, margin)).covered.mean())
    noise = 3 * np.std(reached) / len(reached) ** 0.5
    assert 0.9 - noise < np.mean(reached) < 0.9 + 1 / (rows + 1) + noise


def test_cross_fitted_coverage_does_not_flatter() -> None:
    """Days differ in how much they vary: what a holdout of ten says is what new days bring, and not more."""
    drawn = np.random.default_rng(2)
    said, flattering, new = [], [], []
    for _ in range(500):
        day = np.repeat(np.arange(10), 30)
        label = drawn.normal(size=300) * drawn.lognormal(sigma=0.6, size=10)[day]
        score = intervals.scores(label, np.zeros(300), None)
        margin, crossed = intervals.margin(score, 0.9), intervals.cross_fitted(score, day, 0.9)
        said.append(Intervals(label, *intervals.bounds(np.zeros(300), None, crossed)).covered.mean())
        flattering.append((score <= margin).mean())
        other = drawn.normal(size=300) * np.repeat(drawn.lognormal(sigma=0.6, size=10), 30)
        new.append((np.abs(other) <= margin).mean())
    assert np.mean(flattering) > 0.9
    assert np.mean(new) < 0.895
    assert np.mean(said) == pytest.approx(np.mean(new), abs=0.008)


def test_a_number_names_the_same_group_whichever_type_it_has() -> None:
    assert intervals.groups([1, 1.0, np.float64(1), np.int32(1)]).tolist() == ["1.0"] * 4
    assert intervals.groups(["a", None, np.nan]).tolist() == ["a", "nan", "nan"]


def test_each_group_is_covered_by_a_margin_of_its_own() -> None:
    drawn = np.random.default_rng(4)
    group = intervals.groups(drawn.choice([1, 6, 24], size=6_000))
    label = drawn.normal(size=6_000) * np.where(group == "24.0", 3.0, 1.0)
    score, held = np.abs(label), np.arange(6_000) < 3_000
    margins = intervals.margins_by(score[held], group[held], 0.9)
    chosen = intervals.by_row(group[~held], margins, np.nan)
    for name in ("1.0", "6.0", "24.0"):
        within = (score[~held] <= chosen)[group[~held] == name]
        assert within.mean() == pytest.approx(0.9, abs=0.03)
    overall = intervals.margin(score[held], 0.9)
    assert (score[~held] <= overall)[group[~held] == "24.0"].mean() < 0.75


def test_a_small_group_has_the_margin_of_all_rows() -> None:
    score = np.arange(40.0)
    group, block = intervals.groups(["a"] * 30 + ["b"] * 10), np.tile([0, 1, 2, 3], 10)
    margins = intervals.margins_by(score, group, 0.9)
    assert margins == {"a": intervals.margin(score[:30], 0.9)}
    assert intervals.by_row(group, margins, 7.0).tolist() == [margins["a"]] * 30 + [7.0] * 10
    judged, of_all = intervals.cross_fitted_by(score, block, group, 0.9), intervals.cross_fitted(score, block, 0.9)
    assert judged[30:].tolist() == of_all[30:].tolist()
    assert judged[:30].tolist() == intervals.cross_fitted(score[:30], block[:30], 0.9).tolist()


def test_the_models_own_quantiles_cover_where_it_is_hard() -> None:
    """A spread that grows with the input: one margin covers the easy rows always and the hard ones too seldom."""
    drawn = np.random.default_rng(3)
    spread = drawn.uniform(0.2, 3, size=6_000)
    label, prediction = drawn.normal(size=6_000) * spread, np.zeros(6_000)
    # Quantiles of a model that knows the spread roughly, and is too sure of itself.
    quantiles = np.outer(spread * drawn.uniform(0.9, 1.1, 6_000), [-1.4, 1.4])
    held, new = slice(0, 3_000), slice(3_000, None)
    gaps = {}
    for name, its in (("residuals", None), ("quantiles", quantiles)):
        inner = (None, None) if its is None else (its[held], its[new])
        margin = intervals.margin(intervals.scores(label[held], prediction[held], inner[0]), 0.9)
        covered = Intervals(label[new], *intervals.bounds(prediction[new], inner[1], margin)).covered
        assert covered.mean() == pytest.approx(0.9, abs=0.02)
        by_third = [each.mean() for each in np.array_split(covered[np.argsort(spread[new])], 3)]
        gaps[name] = max(by_third) - min(by_third)
    assert gaps["residuals"] > 0.2
    assert gaps["quantiles"] < 0.1
