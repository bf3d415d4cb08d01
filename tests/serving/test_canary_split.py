"""Which entities a challenger answers."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from perennial.serving.canary_split import is_canary, place

VALUES = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.none(),
        st.datetimes(timezones=st.just(UTC)),
    ),
    min_size=1,
    max_size=4,
)


@given(entity=VALUES, version=st.integers(1, 10_000), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_share_keeps_the_entities_of_a_smaller(entity: list, version: int, shares: tuple) -> None:
    small, large = sorted(shares)
    assert is_canary("energy", version, entity, small) <= is_canary("energy", version, entity, large)


@given(entity=VALUES, version=st.integers(1, 10_000))
def test_a_place_is_between_none_and_all(entity: list, version: int) -> None:
    assert 0 <= place("energy", version, entity) < 1
    assert is_canary("energy", version, entity, 1.0)
    assert not is_canary("energy", version, entity, 0.0)


@given(entity=VALUES)
def test_an_entity_has_the_same_place_in_every_process(entity: list) -> None:
    assert place("energy", 2, entity) == place("energy", 2, list(entity))


def test_places_are_known_numbers() -> None:
    # Whoever changes them moves entities of rollouts that are under way from one version to the other.
    assert round(place("energy", 2, ["site-0", "meter-1"]), 9) == 0.467129576
    assert round(place("flights", 7, [datetime(2024, 1, 5, tzinfo=UTC)]), 9) == 0.416764786


def test_entities_are_spread_evenly_and_anew_for_each_version() -> None:
    entities = [[f"site-{number}"] for number in range(20_000)]
    chosen = [[is_canary("energy", version, entity, 0.1) for entity in entities] for version in (2, 3)]
    assert all(abs(sum(each) / len(each) - 0.1) < 0.01 for each in chosen)
    both = sum(one and other for one, other in zip(*chosen, strict=True))
    assert abs(both / len(entities) - 0.01) < 0.004
