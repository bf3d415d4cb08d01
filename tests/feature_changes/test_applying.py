"""Applying a change: to a real registry, once, safely, and so that it can be gone on with."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from changes_cases import Checkout
from sqlalchemy import text

from perennial.errors import BadFeatures
from perennial.feature_changes import applying, planning, reading
from perennial.feature_changes.applying import ChangedMeanwhile, ChangeRefused
from perennial.feature_changes.planning import Plan
from perennial.feature_store import repository
from perennial.services import postgres
from perennial.settings import settings

ON_DEMAND = """
import pandas as pd
from feast.on_demand_feature_view import on_demand_feature_view


@on_demand_feature_view(sources=[meter_history], schema=[Field(name="meter_doubled", dtype=Float64)])
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"meter_doubled": inputs["meter_last"] * 2})


"""


def sentences(made: Plan) -> set[str]:
    return {f"{change.object}: {change.description}" for change in made.changes}


def rows_of(name: str) -> dict[str, int]:
    """How many rows each table of a database has."""
    with postgres.engine(name).connect() as connection:
        names_of_tables = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        )
        tables = [row[0] for row in names_of_tables]
        return {table: connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one() for table in tables}  # noqa: S608


def test_planning_writes_nothing_not_even_a_registry(checkout: Checkout) -> None:
    # The first test of this file: nothing was ever applied, or written to the lake.
    before = rows_of("feast"), rows_of("lake"), sorted(checkout.folder.rglob("*"))
    made = planning.plan()
    assert (rows_of("feast"), rows_of("lake"), sorted(checkout.folder.rglob("*"))) == before
    assert rows_of("feast") == {}
    assert not made.registry
    assert any("no registry yet" in note for note in made.notes)


def test_an_unknown_project_makes_everything_new(checkout: Checkout) -> None:
    made = planning.plan()
    assert sentences(made) == {
        "entity meter: added",
        "entity site: added",
        f"view {checkout.name}_meter_history: added",
        f"service {checkout.name}: added",
    }
    assert not made.is_refused


def test_what_was_planned_is_what_is_registered(checkout: Checkout) -> None:
    assert applying.apply(planning.plan())
    assert planning.plan().is_empty
    assert not applying.apply(planning.plan()), "the second time there is nothing to do"
    assert repository.feature_names(checkout.name) == ["meter_last", "meter_mean_24h"]


def test_a_destructive_change_leaves_the_registry_unchanged(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    before = reading.registered()
    checkout.edit(checkout.definitions, ("days=2", "hours=5"))
    with pytest.raises(ChangeRefused, match="ttl 2 days -> 5 hours"):
        applying.apply(planning.plan())
    with pytest.raises(ChangeRefused, match="ttl 2 days -> 5 hours"):
        applying.apply_safely(checkout.use_case)
    assert reading.registered() == before


OTHER = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field
from feast.types import Float64

from perennial import LakeSource

shop = Entity(name="shop")
sales = FeatureView(
    name="shop_sales", entities=[shop], ttl=timedelta(days=2), schema=[Field(name="sold", dtype=Float64)],
    source=LakeSource(table="shop.sales", timestamp_field="event_timestamp"),
)
service = FeatureService(name="shop", features=[sales])
"""


def with_another_use_case(checkout: Checkout) -> Path:
    """Definitions of somebody else's beside the checkout's own, registered."""
    file = checkout.feature_repo / "shop.py"
    file.write_text(OTHER)
    applying.apply(planning.plan())
    return file


def test_another_use_cases_removal_does_not_stop_a_pipeline(checkout: Checkout) -> None:
    with_another_use_case(checkout).unlink()
    checkout.run(1)
    assert "shop" in reading.registered().services, "nobody acknowledged that it goes"
    assert planning.plan().is_refused, "a person still has to"
    assert not applying.apply_safely(checkout.use_case)


@pytest.mark.parametrize("content", ["import nothing_like_it\n", OTHER.replace("features=[sales]", "features=[gone]")])
def test_another_use_cases_broken_file_does_not_stop_a_pipeline(checkout: Checkout, content: str) -> None:
    with_another_use_case(checkout).write_text(content)
    checkout.run(1)
    with pytest.raises(BadFeatures, match=r"feature_repo/shop\.py"):
        planning.plan()


def test_a_change_is_registered_beside_a_removal_elsewhere(checkout: Checkout) -> None:
    with_another_use_case(checkout).unlink()
    checkout.edit(checkout.definitions, ("days=2", "days=3"))
    assert applying.apply_safely(checkout.use_case)
    registered = reading.registered()
    assert registered.views[f"{checkout.name}_meter_history"].ttl == timedelta(days=3)
    assert {"shop", checkout.name} <= set(registered.services)


def test_where_only_people_apply_a_pipeline_refuses_its_own_change(checkout: Checkout, monkeypatch) -> None:
    with_another_use_case(checkout)
    before = reading.registered()
    monkeypatch.setenv("PERENNIAL_PIPELINES_APPLY", "false")
    monkeypatch.setenv("PERENNIAL_COMMIT", "c0ffee")
    settings.cache_clear()
    checkout.edit(checkout.definitions, ("days=2", "days=3"))
    with pytest.raises(
        ChangeRefused, match=r"of commit c0ffee has other definitions than are registered: .*ttl 2 days"
    ):
        applying.apply_safely(checkout.use_case)
    checkout.edit(checkout.definitions, ("days=3", "days=2"))
    (checkout.feature_repo / "shop.py").unlink()
    assert not applying.apply_safely(checkout.use_case), "what another use case changed is not its concern"
    assert reading.registered() == before


def test_a_pipelines_own_broken_file_stops_it(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    checkout.definitions.write_text("import nothing_like_it\n")
    with pytest.raises(BadFeatures, match=rf"feature_repo/{checkout.name}\.py"):
        applying.apply_safely(checkout.use_case)


def test_an_acknowledgement_passes_its_change_once(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    view = f"view {checkout.name}_meter_history"
    checkout.acknowledge((view, "ttl 2 days -> 5 hours", "Meters report hourly now."))
    checkout.edit(checkout.definitions, ("days=2", "hours=6"))
    made = planning.plan()
    assert [change.description for change in made.matched.unacknowledged] == ["ttl 2 days -> 6 hours"]
    assert "did you mean" in made.matched.stale[0][1]
    checkout.edit(checkout.definitions, ("hours=6", "hours=5"))
    made = planning.plan()
    assert [reason for _, reason in made.matched.acknowledged] == ["Meters report hourly now."]
    assert applying.apply(made)
    made = planning.plan()
    assert made.is_empty
    assert [entry.object for entry in made.matched.spent] == [view]


def test_an_acknowledgement_that_fits_nothing_is_an_error(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    checkout.acknowledge((f"view {checkout.name}_meter_history", "removed", "Not needed."))
    with pytest.raises(BadFeatures, match="acknowledges what is not to be destroyed"):
        applying.apply(planning.plan())


def test_a_plan_that_somebody_overtook_applies_nothing(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    checkout.edit(checkout.definitions, ("days=2", "days=3"))
    old = planning.plan()
    checkout.edit(checkout.definitions, ("days=3", "hours=1"))
    before = reading.registered()
    with pytest.raises(ChangedMeanwhile):
        applying.apply(old)
    assert reading.registered() == before


def test_two_at_once_apply_once(checkout: Checkout) -> None:
    applying.apply(planning.plan())
    checkout.edit(checkout.definitions, ("days=2", "days=4"))
    script = (
        "from perennial.feature_changes import applying, planning\n"
        "made = planning.plan(); print('planned', flush=True); input(); print(applying.apply(made))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=checkout.environment,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "planned\n", worker.communicate()[1]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = sorted(worker.communicate(timeout=120)[0].strip() for worker in workers)
    assert answers == ["False", "True"]
    assert planning.plan().is_empty


def test_a_project_without_a_database_is_planned_as_all_new(tmp_path: Path, checkout: Checkout) -> None:
    script = "from perennial.feature_changes import planning; made = planning.plan(); print(made.registry, *made.notes)"
    environment = checkout.environment | {"PERENNIAL_HOME": str(tmp_path / "nothing")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("False There is no registry yet")
    assert not (tmp_path / "nothing").exists()


def test_an_on_demand_view_is_tracked_by_service_and_code(checkout: Checkout) -> None:
    checkout.edit(
        checkout.definitions,
        (f"{checkout.name} = FeatureService", ON_DEMAND + f"{checkout.name} = FeatureService"),
        ("features=[meter_history]", "features=[meter_history, doubled]"),
    )
    applying.apply(planning.plan())
    assert planning.plan().is_empty
    checkout.edit(checkout.definitions, ("* 2", "* 3"))
    made = planning.plan()
    assert sentences(made) == {"view doubled: code another -> this one"}
    assert [one.use_case for one in made.dependents] == [checkout.name]
    assert not made.is_refused
    checkout.edit(checkout.definitions, ("features=[meter_history, doubled]", "features=[meter_history]"))
    checkout.edit(checkout.definitions, (ON_DEMAND.replace("* 2", "* 3"), ""))
    assert "view doubled: removed" in {f"{c.object}: {c.description}" for c in planning.plan().matched.unacknowledged}
