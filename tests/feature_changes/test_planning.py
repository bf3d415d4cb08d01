"""What a plan says, against a real registry and a real lake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from changes_cases import WIDE, Checkout, checkout_in

from perennial.errors import BadFeatures
from perennial.feature_changes import planning, rendering
from perennial.feature_changes.planning import Plan
from perennial.settings import settings


def sentences(made: Plan) -> dict[str, str]:
    """Each change, and what it destroys."""
    return {f"{change.object}: {change.description}": change.destroys for change in made.changes}


def again(made: Plan, name: str) -> dict[str, tuple[str, ...]]:
    """Partition -> why it is to be computed again."""
    return next((dict(one.why) for one in made.recomputations if one.use_case == name), {})


@pytest.fixture(scope="module")
def prepared(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose first three days were computed and are online."""
    with checkout_in(tmp_path_factory.mktemp("prepared")) as made:
        made.run(1, 2, 3)
        yield made


@pytest.fixture
def applied(prepared: Checkout) -> Iterator[Checkout]:
    """The same, its files being what they were when the test is over: a plan changes nothing else."""
    before = {file: file.read_text() for file in (prepared.definitions, prepared.transforms, prepared.declaration)}
    yield prepared
    for file, content in before.items():
        file.write_text(content)
    (prepared.feature_repo / "acknowledged.toml").unlink(missing_ok=True)


def test_after_it_was_applied_there_is_nothing_to_do(applied: Checkout) -> None:
    made = planning.plan()
    assert made.is_empty
    assert not made.notes


def test_a_comment_or_a_description_destroys_nothing(applied: Checkout) -> None:
    applied.edit(
        applied.definitions, ("ttl=timedelta(days=2),", 'ttl=timedelta(days=2),  # two\n    description="History",')
    )
    made = planning.plan()
    assert sentences(made) == {f"view {applied.name}_meter_history: description none -> History": ""}
    assert not made.recomputations


def test_what_destroys_something_is_named_and_refused(applied: Checkout) -> None:
    view = f"view {applied.name}_meter_history"
    applied.edit(
        applied.definitions,
        ("days=2", "hours=36"),
        ('join_keys=["site"]', 'join_keys=["spare"]'),
        ('join_keys=["meter"]', 'join_keys=["site"]'),
        ('join_keys=["spare"]', 'join_keys=["meter"]'),
        ('Field(name="meter_last", dtype=Float64)', 'Field(name="meter_last", dtype=Float32)'),
        (', Field(name="meter_mean_24h", dtype=Float64)', ""),
        ("import Float64", "import Float32"),
    )
    made = planning.plan()
    dangerous = {change for change, destroys in sentences(made).items() if destroys}
    assert dangerous == {
        "entity site: join key site -> meter",
        "entity meter: join key meter -> site",
        f"{view}: ttl 2 days -> 36 hours",
        f"{view}: column meter_last Float64 -> Float32",
        f"{view}: column meter_mean_24h removed",
    }
    assert made.is_refused
    # Nobody's champion asks for it.
    assert sentences(made)[f"service {applied.name}: feature meter_mean_24h removed"] == ""


SOURCE = 'timestamp_field="event_timestamp"'
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(
    ("old", "new", "change", "destroys", "days"),
    [
        (
            SOURCE,
            f'{SOURCE}, created_timestamp_column="meter_mean_24h"',
            "view {view}: created timestamp column none -> meter_mean_24h",
            "",
            DAYS,
        ),
        (
            SOURCE,
            f"{SOURCE}, published_every=timedelta(hours=1), published_after=timedelta(minutes=5)",
            "view {view}: publication at once -> every 1 hour, 5 minutes later",
            "",
            [],
        ),
        (
            "features=[meter_history]",
            'features=[meter_history.with_join_key_map({"site": "place"})]',
            "service {service}: joining of {view} none -> site by place",
            "its features are asked for by other names or keys",
            [],
        ),
        (
            "features=[meter_history]",
            'features=[meter_history.with_name("old")]',
            "service {service}: joining of {view} none -> as old",
            "its features are asked for by other names or keys",
            [],
        ),
    ],
)
def test_what_gives_names_another_meaning_is_a_change(
    applied: Checkout, old: str, new: str, change: str, destroys: str, days: list[str]
) -> None:
    applied.edit(applied.definitions, (old, new))
    made = planning.plan()
    change = change.format(service=applied.name, view=f"{applied.name}_meter_history")
    assert sentences(made) == {change: destroys}
    assert list(again(made, applied.name)) == days
    assert made.is_refused == bool(destroys)
    assert any("counts as published otherwise" in note for note in made.notes) == ("published_every" in new)


def test_files_differing_in_uncompared_parts_are_reported(applied: Checkout) -> None:
    applied.definitions.write_text(applied.definitions.read_text() + "\n# A comment.\n")
    made = planning.plan()
    assert not made.changes
    assert not made.is_empty
    assert not made.is_refused
    assert f"feature_repo/{applied.name}.py: not what was registered last" in made.notes[0]
    assert not any("Nothing to do" in line.text for line in rendering.lines(made))


def test_what_is_removed_is_destroyed(applied: Checkout) -> None:
    applied.definitions.write_text("from feast import Entity\nsite = Entity(name='site', join_keys=['site'])\n")
    removed = {change for change, destroys in sentences(planning.plan()).items() if destroys}
    assert removed >= {
        "entity meter: removed",
        f"view {applied.name}_meter_history: removed",
        f"service {applied.name}: removed",
    }


def test_a_longer_ttl_destroys_nothing(applied: Checkout) -> None:
    applied.edit(applied.definitions, ("days=2", "days=3"))
    assert sentences(planning.plan()) == {f"view {applied.name}_meter_history: ttl 2 days -> 3 days": ""}


def test_a_new_column_recomputes_every_partition(applied: Checkout) -> None:
    applied.edit(applied.transforms, WIDE[0])
    applied.edit(applied.definitions, WIDE[1])
    made = planning.plan()
    assert made.widened == {f"{applied.name}.meter_history": ("meter_last_wh",)}
    assert list(again(made, applied.name)) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert not made.is_refused
    assert [one.use_case for one in made.dependents] == [applied.name]


def test_a_column_type_unlike_the_lakes_gets_a_note(applied: Checkout) -> None:
    applied.edit(
        applied.transforms, ("readings.kwh})", "readings.kwh}).mutate(meter_last=ibis._.meter_last.cast('string'))")
    )
    (note,) = planning.plan().notes
    assert note.startswith(f"{applied.name}.meter_history holds meter_last as double, its transform returns string")
    assert "larger numbers make the column wider" in note


def test_a_column_that_no_transform_returns_is_an_error(applied: Checkout) -> None:
    applied.edit(applied.definitions, WIDE[1])
    with pytest.raises(BadFeatures, match="meter_last_wh"):
        planning.plan()


def test_the_markdown_shows_every_change_and_no_markup_of_theirs(applied: Checkout) -> None:
    applied.edit(
        applied.definitions, ("days=2", "days=1"), ("source=Push", 'description="a | b <b> @all",\n    source=Push')
    )
    made = planning.plan()
    text = rendering.markdown(made)
    for change in made.changes:
        assert f"`{change.object}`" in text
    assert "ttl 2 days -> 1 day" in text
    assert "@all" not in text
    assert "<b>" not in text
    assert json.loads(json.dumps(rendering.as_json(made)))["refused"] is True
    assert any("ttl 2 days -> 1 day" in line.text for line in rendering.lines(made))


def test_the_plan_does_not_wait_for_an_unstarted_airflow(applied: Checkout) -> None:
    applied.edit(applied.transforms, ("hours=23", "hours=11"))
    [one] = planning.plan().recomputations
    assert one.seconds is None
    assert "never started" in one.measured
    assert not (settings().home / "login.json").exists()


def test_a_changed_transform_recomputes_its_partitions(applied: Checkout) -> None:
    applied.edit(applied.transforms, ("hours=23", "hours=11"))
    made = planning.plan()
    days = ("2024-01-01", "2024-01-02", "2024-01-03")
    assert again(made, applied.name) == dict.fromkeys(days, ("the transform of meter_history has changed",))
    assert not made.changes
    assert not made.is_refused
