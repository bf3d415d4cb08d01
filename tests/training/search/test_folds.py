"""Folds by time: nothing that was not known before a fold is fitted on, and no row is tested twice."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import UseCase, discovery
from perennial.evaluation import blocks
from perennial.training.search.folds import split

EPOCH = pd.Timestamp("2024-01-01", tz="UTC")


def energy(block: timedelta = timedelta(hours=2), min_rows: int = 2, task: str = "regression") -> UseCase:
    case = discovery.load("energy")
    gate = case.gate.model_copy(update={"block": block, "min_rows": min_rows})
    return case.model_copy(update={"gate": gate, "task": task})


def frame(minutes: list[int], delays: list[int], label: np.ndarray | None = None) -> pd.DataFrame:
    """Rows of these moments, in minutes since `EPOCH`, whose labels matured so many minutes later."""
    moments = EPOCH + pd.to_timedelta(sorted(minutes), unit="min")
    label = np.arange(len(minutes)) if label is None else label
    columns = {"event_timestamp": moments, "label_timestamp": moments + pd.to_timedelta(delays, unit="min")}
    return pd.DataFrame(columns | {"label": label})


rows = st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 2_000)), min_size=1, max_size=120)


@given(rows=rows, count=st.integers(2, 6), block=st.sampled_from([15, 45, 120, 720]))
def test_a_fold_is_fitted_on_what_was_known_before_it(rows, count, block) -> None:
    given_rows = frame([minute for minute, _ in rows], [delay for _, delay in rows])
    case = energy(timedelta(minutes=block))
    folds = split(case, given_rows, count)
    assert len(folds) <= count
    tested = np.concatenate([fold.test for fold in folds]) if folds else np.empty(0)
    assert len(set(tested)) == len(tested), "a row is in two folds"
    for fold in folds:
        fitted, own = given_rows.iloc[fold.fit], given_rows.iloc[fold.test]
        assert fitted["event_timestamp"].max() < fold.start <= own["event_timestamp"].min()
        assert fitted["label_timestamp"].max() <= fold.start
        assert (fold.start - EPOCH) % pd.Timedelta(minutes=block) == pd.Timedelta(0)
        known = (given_rows["event_timestamp"] < fold.start) & (given_rows["label_timestamp"] <= fold.start)
        assert len(fold.fit) == known.sum(), "what was known is left out"


@given(rows=rows, count=st.integers(2, 6))
def test_no_block_is_in_two_folds(rows, count) -> None:
    given_rows = frame([minute for minute, _ in rows], [delay for _, delay in rows])
    since = (given_rows["event_timestamp"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(hours=2)
    of_each = [set(since.iloc[fold.test]) for fold in split(energy(), given_rows, count)]
    assert sum(map(len, of_each)) == len(set().union(*of_each))


def test_the_folds_divide_the_later_half_evenly() -> None:
    given_rows = frame(list(range(0, 12_000, 10)), [5] * 1_200)
    folds = split(energy(), given_rows, 4)
    assert [len(fold.test) for fold in folds] == [144, 156, 144, 156]
    assert [len(fold.fit) for fold in folds] == [600, 744, 900, 1044]
    assert folds[-1].test[-1] == 1_199


def test_late_labels_are_not_fitted_on() -> None:
    prompt, late = (split(energy(), frame(list(range(0, 12_000, 10)), [delay] * 1_200), 4) for delay in (0, 720))
    assert [len(one.fit) - len(other.fit) for one, other in zip(prompt, late, strict=True)] == [71] * 4


def test_no_rows_have_no_folds() -> None:
    assert split(energy(), frame([], []), 4) == []


@pytest.mark.parametrize(("min_rows", "folds"), [(2, 4), (150, 2), (2_000, 0)])
def test_a_fold_with_too_few_rows_is_left_out(min_rows: int, folds: int) -> None:
    assert len(split(energy(min_rows=min_rows), frame(list(range(0, 12_000, 10)), [5] * 1_200), 4)) == folds


def test_a_fold_of_one_class_is_left_out() -> None:
    label = np.arange(1_200) % 2
    label[740:1_000] = 0
    given_rows = frame(list(range(0, 12_000, 10)), [5] * 1_200, label)
    whole = split(energy(), given_rows, 4)
    assert [fold.start for fold in split(energy(task="binary"), given_rows, 4)] == [
        whole[place].start for place in (0, 2, 3)
    ]


def test_a_fold_whose_rows_to_fit_on_weigh_nothing_is_left_out() -> None:
    weighted = energy()
    weighted = weighted.model_copy(update={"examples": weighted.examples.model_copy(update={"weight": "weight"})})
    given_rows = frame(list(range(0, 12_000, 10)), [5] * 1_200).assign(weight=np.arange(1_200) >= 700)
    assert [len(fold.fit) for fold in split(weighted, given_rows, 4)] == [744, 900, 1044]


def test_a_fold_of_one_block_is_left_out() -> None:
    given_rows = frame(list(range(0, 12_000, 10)), [5] * 1_200)
    one = energy(timedelta(days=1.5))
    assert all(
        blocks.count_blocks(blocks.blocks_of(given_rows["event_timestamp"].iloc[fold.test], one.gate.block)) > 1
        for fold in split(one, given_rows, 4)
    )
