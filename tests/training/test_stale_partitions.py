"""A training window whose partitions were computed by different transforms is refused."""

from __future__ import annotations

import pytest
from changes_cases import Checkout

from perennial import lake
from perennial.errors import BadFeatures
from perennial.training import stale_partitions, training_set


def refused(checkout: Checkout, first: int, last: int) -> BadFeatures:
    with pytest.raises(BadFeatures) as error:
        training_set.retrieve(checkout.use_case, checkout.partition(first), checkout.partition(last))
    return error.value


def test_a_window_of_two_transforms_is_refused_with_the_fix(checkout: Checkout) -> None:
    checkout.run(1, 2, 3)
    checkout.edit(checkout.transforms, ("hours=23", "hours=11"))
    checkout.run(3)
    error = refused(checkout, 1, 3)
    assert "in partition 2024-01-01, 2024-01-02 the rows of meter_history were computed by an earlier" in error.problem
    assert "`perennial apply --from 2024-01-01 --to 2024-01-02`" in error.fix
    assert "window_start 2024-01-03" in error.fix
    stale_partitions.check_window(checkout.use_case, checkout.partition(3), checkout.partition(3))
    checkout.run(1, 2)
    assert stale_partitions.stale_tables(checkout.use_case, checkout.partition(1), checkout.partition(3)) == {}


def test_a_set_of_recorded_snapshots_is_rebuilt_all_the_same(checkout: Checkout) -> None:
    checkout.run(1, 2)
    window = (checkout.partition(1), checkout.partition(2))
    made = training_set.retrieve(checkout.use_case, *window)
    checkout.edit(checkout.transforms, ("hours=23", "hours=11"))
    again = training_set.retrieve(checkout.use_case, *window, snapshots=made.snapshots)
    assert again.digest == made.digest


def test_partitions_from_before_the_record_count_as_current(checkout: Checkout) -> None:
    checkout.run(1, 2)
    lake.catalog().drop_table(f"{checkout.name}.computations")
    checkout.edit(checkout.transforms, ("hours=23", "hours=11"))
    assert stale_partitions.stale_tables(checkout.use_case, checkout.partition(1), checkout.partition(2)) == {}
