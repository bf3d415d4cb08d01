"""The history that is retrieved once, and its windows."""

from __future__ import annotations

from itertools import pairwise

import backtested
import numpy as np
import pyarrow as pa
import pytest

from perennial import lake
from perennial.backtesting import history
from perennial.backtesting.fits import Fit
from perennial.backtesting.history import History
from perennial.errors import NotEnoughData
from perennial.training import training_set, training_set_file
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def rows(energy: UseCase) -> History:
    return history.retrieve(energy, energy.first, energy.partition(backtested.LAST))


@pytest.mark.parametrize(("first", "last"), [(1, 3), (1, 5), (2, 6), (4, 6), (5, 7), (6, 10), (1, 12), (9, 12)])
def test_a_window_holds_the_rows_of_its_training_set(rows: History, energy: UseCase, first: int, last: int) -> None:
    ends = energy.partition(f"2024-01-{first:02}"), energy.partition(f"2024-01-{last:02}")
    window = rows.rows.filter(pa.array(rows.window(*ends)))
    assert training_set_file.encode(window) == training_set.retrieve(energy, *ends).content


def test_labels_that_matured_after_a_window_are_not_in_it(rows: History, energy: UseCase) -> None:
    first, last = energy.first, energy.partition("2024-01-05")
    inside = rows.partition <= rows.place(last)
    window = rows.window(first, last)
    assert (inside & ~window).sum() == 2 * 12  # Of twelve meters, the last two hours of the fifth day.
    assert rows.known_at[window].max() <= np.datetime64(last.end.replace(tzinfo=None))


def test_a_fit_predicts_only_what_is_later_than_its_rows(rows: History, energy: UseCase) -> None:
    first, last = energy.partition("2024-01-02"), energy.partition("2024-01-05")
    for fit in (Fit(first, last), Fit(first, last, energy.holdout_start(first.start, last.end))):
        fitted, later = fit.rows(rows), fit.later(rows)
        assert fitted.any()
        assert rows.moment[fitted].max() < rows.moment[later].min()


def test_rows_have_a_digest_of_their_own(rows: History) -> None:
    for digests in rows.row_digests.values():
        assert len(digests) == rows.rows.num_rows
        assert len(np.unique(digests)) > 0.9 * len(digests)


def test_examples_are_counted_labelled_or_not(rows: History, energy: UseCase) -> None:
    assert rows.examples == {each.key: 24 * 12 for each in rows.partitions}
    assert all(a.next == b for a, b in pairwise(rows.partitions))


def test_a_partition_that_was_never_computed_is_an_error(energy: UseCase) -> None:
    with pytest.raises(NotEnoughData, match="2024-01-13"):
        history.retrieve(energy, energy.first, energy.partition("2024-01-13"))


def test_the_history_is_read_as_it_was_stored(rows: History, energy: UseCase, tmp_path) -> None:
    loaded = history.store(rows, tmp_path).load()
    assert loaded.rows.equals(rows.rows)
    assert loaded.partitions == rows.partitions
    assert lake.PARTITION in loaded.rows.column_names
