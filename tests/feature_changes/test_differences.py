"""Differences between definitions, and what of them an acknowledgement fits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import BadFeatures
from perennial.feature_changes import acknowledgements, differences, recomputing
from perennial.feature_changes.acknowledgements import Acknowledgement
from perennial.feature_changes.definitions import Definitions, Entity, Service, View

NAMES = st.sampled_from(["a", "b", "c"])
TYPES = st.sampled_from(["Float64", "Int64", "String"])
TTLS = st.sampled_from([None, timedelta(minutes=90), timedelta(days=1), timedelta(days=2)])
VIEWS = st.builds(
    View,
    kind=st.just("feature view"),
    entities=st.lists(NAMES, unique=True, max_size=2).map(tuple),
    columns=st.dictionaries(NAMES, TYPES, max_size=3),
    ttl=TTLS,
    source=st.sampled_from(["u.a", "u.b"]),
    timestamp=st.just("event_timestamp"),
    online=st.booleans(),
    mapping=st.dictionaries(st.sampled_from(["p", "q"]), NAMES, max_size=2),
    created=st.sampled_from(["", "written_at"]),
    publication=st.sampled_from(["", "every 1 hour"]),
)
SIDES = st.builds(
    Definitions,
    entities=st.dictionaries(NAMES, st.builds(Entity, join_key=NAMES, value_type=TYPES), max_size=3),
    views=st.dictionaries(NAMES, VIEWS, max_size=3),
    services=st.dictionaries(
        NAMES,
        st.builds(
            Service,
            features=st.dictionaries(NAMES, st.lists(NAMES, max_size=3).map(tuple)),
            joins=st.dictionaries(NAMES, st.sampled_from(["site by origin", "as b", "as b site by origin"])),
        ),
        max_size=2,
    ),
)


def view(**more: object) -> View:
    content: dict = {
        "kind": "feature view",
        "entities": ("site",),
        "columns": {"x": "Float64"},
        "ttl": timedelta(days=1),
        "source": "u.t",
        "timestamp": "event_timestamp",
        "online": True,
    }
    return View(**content | more)


def changes(before: View, after: View) -> dict[str, bool]:
    """What has changed of a view -> whether that destroys something."""
    compared = differences.compare(Definitions({}, {"v": before}, {}), Definitions({}, {"v": after}, {}))
    return {change.description: bool(change.destroys) for change in compared}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"ttl": timedelta(hours=12)}, {"ttl 1 day -> 12 hours": True}),
        ({"ttl": timedelta(days=2)}, {"ttl 1 day -> 2 days": False}),
        ({"ttl": None}, {"ttl 1 day -> any age": False}),
        ({"columns": {"x": "Int64"}}, {"column x Float64 -> Int64": True}),
        ({"columns": {}}, {"column x removed": True}),
        ({"columns": {"x": "Float64", "y": "Int64"}}, {"column y added (Int64)": False}),
        ({"entities": ("meter",)}, {"entities site -> meter": True}),
        ({"source": "u.s"}, {"source u.t -> u.s": False}),
        ({"online": False}, {"online true -> false": True}),
        ({"kind": "stream feature view"}, {"kind feature view -> stream feature view": True}),
        ({"metadata": {"owner": "me"}}, {"owner none -> me": False}),
        ({"created": "written_at"}, {"created timestamp column none -> written_at": False}),
        ({"publication": "every 1 hour"}, {"publication at once -> every 1 hour": False}),
        ({"mapping": {"x_max": "x"}}, {"field mapping none -> x_max as x": True}),
        ({"mapping": {"place": "site"}}, {"field mapping none -> place as site": True}),
        (
            {"mapping": {"b": "y"}, "columns": {"x": "Float64", "y": "Int64"}},
            {"column y added (Int64)": False, "field mapping none -> b as y": False},
        ),
        ({}, {}),
    ],
)
def test_a_view_that_changes(after: dict, expected: dict[str, bool]) -> None:
    assert changes(view(), view(**after)) == expected


def test_only_a_remapped_column_is_brought_online_again() -> None:
    def again(after: View) -> dict[str, str]:
        sides = [Definitions({}, {"v": each}, {}) for each in (view(mapping={"x_mean": "x"}), after)]
        return recomputing.views_to_materialize(*sides)

    assert again(view(mapping={"x_max": "x"})) == {"v": "has another field mapping"}
    assert again(view(columns={}, mapping={})) == {}


@pytest.mark.parametrize("join", ["site by origin", "as origins", "as origins site by origin"])
def test_a_service_with_other_keys_destroys_lookups_by_old_ones(join: str) -> None:
    sides = [
        Definitions({}, {}, {"s": Service({"v": ("x",)}, joins=joins)})
        for joins in ({"v": "site by spare"}, {"v": join})
    ]
    [change] = differences.compare(*sides)
    assert change.description == f"joining of v site by spare -> {join}"
    assert change.destroys


def test_a_view_that_gets_an_age_limit_loses_values() -> None:
    assert changes(view(ttl=None), view()) == {"ttl any age -> 1 day": True}


@given(side=SIDES)
def test_nothing_differs_from_itself(side: Definitions) -> None:
    assert differences.compare(side, side) == []


@given(before=SIDES, after=SIDES)
def test_each_change_has_a_unique_name_and_a_mirror(before: Definitions, after: Definitions) -> None:
    forward, back = differences.compare(before, after), differences.compare(after, before)
    named = [(change.object, change.description) for change in forward]
    assert len(set(named)) == len(named)
    mirrored = {"added": "removed", "removed": "added", "changed": "changed"}
    objects = {(change.object, change.action) for change in forward if not change.field}
    assert {(change.object, mirrored[change.action]) for change in back if not change.field} == objects


@given(before=SIDES, after=SIDES)
def test_acknowledging_everything_missing_leaves_nothing(before: Definitions, after: Definitions) -> None:
    compared = differences.compare(before, after)
    missing = acknowledgements.match(compared, [], before, after).unacknowledged
    entries = [Acknowledgement(change.object, change.description, "because") for change in missing]
    matched = acknowledgements.match(compared, entries, before, after)
    assert not matched.unacknowledged
    assert not matched.stale
    assert len(matched.acknowledged) == len(entries)
    later = acknowledgements.match([], entries, after, after)
    assert set(later.spent) == set(entries)


@given(before=SIDES, after=SIDES)
def test_what_is_acknowledged_but_not_destroyed_is_stale(before: Definitions, after: Definitions) -> None:
    """Where nothing was applied and nothing changes, no entry for a change of what is there is excused."""
    compared = differences.compare(before, after)
    entries = [Acknowledgement(change.object, change.description, "why") for change in compared if change.destroys]
    assert {entry for entry, _ in acknowledgements.match([], entries, before, before).stale} == set(entries)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[destroys]]\nobject = 'view v'\nchange = 'removed'\n", "entry 1, has no reason"),
        ("[[destroys]]\nobject = 'view v'\nchange = 'removed'\nreason = ' '\n", "reason is empty"),
        ("[[destroys]]\nobject = 'v'\nchange = 'c'\nreason = 'r'\nuntil = 'x'\n", "unknown field until"),
        ("[[destroy]]\nobject = 'v'\n", "not 'destroy'"),
        ("destroys = 3\n", r"\[\[destroys\]\] tables only"),
        ("[[destroys]\n", "is not TOML"),
        (2 * "[[destroys]]\nobject = 'v'\nchange = 'c'\nreason = 'r'\n", "twice"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_that_says_where(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / acknowledgements.FILE).write_text(content)
    with pytest.raises(BadFeatures, match=message):
        acknowledgements.read(tmp_path)


def test_no_file_acknowledges_nothing(tmp_path: Path) -> None:
    assert acknowledgements.read(tmp_path) == []
