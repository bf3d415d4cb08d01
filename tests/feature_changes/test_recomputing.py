"""What is to be computed again, and that it is asked for until it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from changes_cases import Checkout

from perennial import lake
from perennial.feature_changes import applying, backfill, planning
from perennial.feature_changes.planning import Plan
from perennial.feature_store import repository
from perennial.ingestion import ingest

LAST = 'Field(name="meter_last", dtype=Float64)'
WIDE = (
    ("readings.kwh})", "readings.kwh}).mutate(meter_last_wh=ibis._.meter_last * 1000)"),
    (LAST, f'{LAST}, Field(name="meter_last_wh", dtype=Float64)'),
)

#: What a plan calls the second view's feature being read from another column.
OTHER_COLUMN = "field mapping meter_last as second_last -> meter_mean_24h as second_last"


def again(made: Plan) -> dict[str, tuple[str, ...]]:
    """Partition -> why it is to be computed again."""
    return {key: why for one in made.recomputations for key, why in one.why.items()}


def add_a_view(checkout: Checkout) -> None:
    """A second view, of the same table, in the service."""
    checkout.edit(
        checkout.definitions,
        ("features=[meter_history]", "features=[meter_history, second]"),
        (
            f"{checkout.name} = FeatureService",
            "second = FeatureView(name='second', entities=[site, meter], ttl=timedelta(days=1),"
            " schema=[Field(name='second_last', dtype=Float64)],"
            f" source=LakeSource(table='{checkout.name}.meter_history', name='second',"
            " field_mapping={'meter_last': 'second_last'}))\n"
            f"{checkout.name} = FeatureService",
        ),
    )


def test_a_new_column_can_be_registered_before_it_is_computed(checkout: Checkout) -> None:
    checkout.run(1)
    checkout.edit(checkout.transforms, WIDE[0])
    checkout.edit(checkout.definitions, WIDE[1])
    made = planning.plan()
    assert made.widened == {f"{checkout.name}.meter_history": ("meter_last_wh",)}
    assert applying.apply(made)
    rows = lake.read(f"{checkout.name}.meter_history")
    assert rows is not None
    assert rows["meter_last_wh"].null_count == rows.num_rows > 0
    assert set(again(planning.plan())) == {"2024-01-01"}
    checkout.run(1)
    rows = lake.read(f"{checkout.name}.meter_history")
    assert rows is not None
    assert rows["meter_last_wh"].null_count == 0
    assert planning.plan().is_empty
    keys, at = [{"site": "site-0", "meter": "meter-3"}], datetime(2024, 1, 2, tzinfo=UTC)
    [row] = repository.online_features(checkout.name, keys, at=at)
    assert row["meter_last_wh"] == pytest.approx(row["meter_last"] * 1000)


def test_what_was_computed_meanwhile_is_not_asked_for_again(checkout: Checkout) -> None:
    checkout.run(1, 2)
    checkout.edit(checkout.transforms, ("hours=23", "hours=11"))
    assert list(again(planning.plan())) == ["2024-01-01", "2024-01-02"]
    checkout.run(2)
    assert list(again(planning.plan())) == ["2024-01-01"]
    checkout.edit(checkout.transforms, ("hours=11", "hours=23"))
    assert list(again(planning.plan())) == ["2024-01-02"]


def test_a_new_view_is_asked_for_until_it_is_online_everywhere(checkout: Checkout) -> None:
    checkout.run(1, 2)
    add_a_view(checkout)
    assert set(again(planning.plan()).values()) == {("view second is new",)}
    applying.apply(planning.plan())
    made = planning.plan()
    assert not made.changes
    assert again(made) == dict.fromkeys(("2024-01-01", "2024-01-02"), ("view second is not online there",))
    checkout.run(1)
    assert list(again(planning.plan())) == ["2024-01-02"]
    checkout.run(2)
    assert planning.plan().is_empty


def test_a_changed_view_comes_online_even_if_apply_was_killed(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.run(1)
    add_a_view(checkout)
    checkout.run(1)
    checkout.edit(checkout.definitions, ("'meter_last': 'second_last'", "'meter_mean_24h': 'second_last'"))
    checkout.edit(checkout.definitions, ("name='second_last', dtype=Float64", "name='second_last', dtype=Float32"))
    checkout.edit(checkout.definitions, ("import Float64", "import Float32, Float64"))
    checkout.acknowledge(
        ("view second", "column second_last Float64 -> Float32", "Half the bytes."),
        ("view second", OTHER_COLUMN, "Means are steadier."),
    )
    made = planning.plan()
    assert list(again(made)) == ["2024-01-01"]
    with monkeypatch.context() as killed:
        killed.setattr("feast.FeatureStore.apply", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            applying.apply(made)
    assert applying.apply(planning.plan()), "run again, it applies"
    assert again(planning.plan()) == {"2024-01-01": ("view second is not online there",)}


def test_a_feature_of_another_column_needs_acknowledgement(
    checkout: Checkout,
) -> None:
    checkout.run(1)
    add_a_view(checkout)
    checkout.run(1)
    checkout.edit(checkout.definitions, ("'meter_last': 'second_last'", "'meter_mean_24h': 'second_last'"))
    made = planning.plan()
    assert [(change.object, change.description) for change in made.matched.unacknowledged] == [
        ("view second", OTHER_COLUMN)
    ]
    assert again(made) == {"2024-01-01": ("view second has another field mapping",)}
    with pytest.raises(applying.ChangeRefused, match="meter_mean_24h as second_last"):
        applying.apply_safely(checkout.use_case)
    checkout.acknowledge(("view second", OTHER_COLUMN, "Means are steadier."))
    assert applying.apply(planning.plan())
    made = planning.plan()
    assert [entry.change for entry in made.matched.spent] == [OTHER_COLUMN]
    assert again(made) == {"2024-01-01": ("view second is not online there",)}
    checkout.run(1)
    assert planning.plan().is_empty


def test_partitions_before_computation_records_are_current(checkout: Checkout) -> None:
    checkout.run(1, 2)
    lake.catalog().drop_table(f"{checkout.name}.computations")
    made = planning.plan()
    assert made.is_empty
    assert any("2 of 2 partitions" in note for note in made.notes)
    assert len(again(planning.plan(everything=True))) == 2


def test_recomputing_does_not_fetch_what_the_lake_holds(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.run(1)
    use_case, partition = checkout.use_case, checkout.partition(1)
    counts = {"rows": 288, "quarantined": 0, "released": 0}
    with monkeypatch.context() as forgotten:
        forgotten.setattr(use_case.module("source"), "readings", lambda _: pytest.fail("fetched"))
        assert ingest.ingest_partition(use_case, partition, refetch=False) == counts
    checkout.edit(
        checkout.declaration,
        ('raw=(RawTable(name="readings"', 'raw=(RawTable(name="spare", key=("site",)), RawTable(name="readings"'),
    )
    source = checkout.transforms.with_name("source.py")
    source.write_text(source.read_text() + "\n\ndef spare(partition):\n    return pa.table({'site': ['site-0']})\n")
    assert ingest.ingest_partition(checkout.use_case, partition, refetch=False)["rows"] == 289, (
        "a raw table was missing"
    )


def test_newest_first_unless_a_raw_table_must_be_fetched(checkout: Checkout) -> None:
    checkout.run(1, 2)
    days = [checkout.partition(1), checkout.partition(2)]
    assert backfill.order_partitions(checkout.use_case, days) == days[::-1]
    checkout.edit(
        checkout.declaration,
        ('raw=(RawTable(name="readings"', 'raw=(RawTable(name="spare", key=("site",)), RawTable(name="readings"'),
    )
    assert backfill.order_partitions(checkout.use_case, days[::-1]) == days
