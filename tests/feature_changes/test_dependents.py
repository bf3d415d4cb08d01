"""Who depends on a change: use cases by Feast's lineage, model versions by what they recorded in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from changes_cases import WIDE, Checkout, checkout_in

from perennial.feature_changes import planning as change_planning
from perennial.feature_changes import rendering
from perennial.feature_changes.dependents import CHALLENGER, CHAMPION, EARLIER, Dependent
from perennial.feature_changes.planning import Plan
from perennial.registry import ledger, tracking
from perennial.services import postgres
from perennial.settings import settings
from perennial.training import fit, planning

MEAN = 'Field(name="meter_mean_24h", dtype=Float64)'


def trained(checkout: Checkout, made_by: str) -> int:
    """A version, fitted on the first three days."""
    use_case = checkout.use_case
    plan = planning.plan_training(use_case, None, {"window_end": "2024-01-03"})
    return fit.fit_challenger(use_case, plan, planning.build_training_set(use_case, plan), made_by=made_by)


def promote(checkout: Checkout, number: int) -> None:
    use_case = checkout.use_case
    serving = ledger.champion(use_case)
    with postgres.advisory_lock("promotion", use_case.name):
        ledger.record(
            use_case,
            partition="2024-01-03",
            action="promoted",
            model_version=number,
            previous_version=serving.model_version if serving else None,
            model_run=tracking.run_of(use_case, number),
            effective_from=checkout.partition(3).end + number * timedelta(days=1),
            actor="gate",
            reason="better",
            evidence={},
        )


@pytest.fixture(scope="module")
def lived(home: Path, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Version 1 served with both features; version 2 serves, and knows `meter_last` only; version 3 is judged."""
    with checkout_in(tmp_path_factory.mktemp("lived")) as made:
        made.run(1, 2, 3)
        promote(made, trained(made, "first"))
        retired = ("triage=", 'retired_features=("meter_mean_24h",),\n    triage=')
        made.edit(made.declaration, retired)
        promote(made, trained(made, "second"))
        made.edit(made.declaration, retired[::-1])
        trained(made, "third")
        yield made


@pytest.fixture
def changed(lived: Checkout) -> Iterator[Checkout]:
    """The same, its definitions being what they were when the test is over."""
    before = lived.definitions.read_text()
    yield lived
    lived.definitions.write_text(before)


def dependent(made: Plan) -> Dependent:
    [only] = made.dependents
    return only


def test_versions_are_named_with_what_they_use_of_the_change(changed: Checkout) -> None:
    changed.edit(changed.definitions, ("days=2", "days=5"))
    touched = [(version.role, version.number, used) for version, used in dependent(change_planning.plan()).touched]
    both = ("meter_last", "meter_mean_24h")
    assert touched == [(CHAMPION, 2, ("meter_last",)), (CHALLENGER, 3, both), (EARLIER, 1, both)]


def test_what_is_added_touches_no_version(changed: Checkout) -> None:
    transforms = changed.transforms.read_text()
    changed.edit(changed.transforms, WIDE[0])
    changed.edit(changed.definitions, WIDE[1])
    try:
        made = change_planning.plan()
    finally:
        changed.transforms.write_text(transforms)
    assert {change.action for change in made.changes} == {"added"}
    assert dependent(made).touched == ()
    told = f"{changed.name}, by service {changed.name}: no model version uses what changes"
    assert told in "\n".join(line.text for line in rendering.lines(made))
    assert rendering.as_json(made)["dependents"][0]["versions"] == []
    assert [f" v{number}" for number in (1, 2, 3) if f" v{number}" in rendering.markdown(made)] == []


def test_a_description_touches_no_version(changed: Checkout) -> None:
    changed.edit(changed.definitions, ('join_keys=["site"]', 'join_keys=["site"], description="A building"'))
    assert dependent(change_planning.plan()).touched == ()


def test_a_column_that_changes_touches_who_was_fitted_on_it(changed: Checkout) -> None:
    changed.edit(changed.definitions, (f", {MEAN}", ""))
    touched = [(version.number, used) for version, used in dependent(change_planning.plan()).touched]
    assert touched == [(3, ("meter_mean_24h",)), (1, ("meter_mean_24h",))]


def test_a_feature_of_the_champion_cannot_leave_the_service(changed: Checkout) -> None:
    changed.edit(changed.definitions, ("features=[meter_history]", 'features=[meter_history[["meter_mean_24h"]]]'))
    made = change_planning.plan()
    [missing] = made.matched.unacknowledged
    assert (missing.object, missing.description) == (f"service {changed.name}", "feature meter_last removed")
    assert f"champion v2 of {changed.name} needs meter_last" in missing.destroys
    changed.acknowledge((missing.object, missing.description, "The meters are gone."))
    assert not change_planning.plan().is_refused
    (changed.feature_repo / "acknowledged.toml").unlink()


def test_a_feature_of_other_versions_may_leave_with_a_note(changed: Checkout) -> None:
    changed.edit(changed.definitions, ("features=[meter_history]", 'features=[meter_history[["meter_last"]]]'))
    made = change_planning.plan()
    assert not made.is_refused
    assert f"{changed.name} could not be rolled back to v1 any more" in made.notes
    assert "earlier champion v1 uses meter_mean_24h" in rendering.markdown(made)
    assert "v2" not in rendering.markdown(made), "it was not fitted on what leaves"


def test_a_column_that_leaves_view_and_service_is_two_changes(changed: Checkout) -> None:
    changed.edit(changed.definitions, (f", {MEAN}", ""))
    dangerous = {change.object for change in change_planning.plan().matched.unacknowledged}
    assert dangerous == {f"view {changed.name}_meter_history"}, "no champion misses it, but the view's column is gone"


def test_an_entity_reaches_the_models_through_its_views(changed: Checkout) -> None:
    changed.edit(changed.definitions, ('join_keys=["site"]', 'join_keys=["site"], description="A building"'))
    dependents = dependent(change_planning.plan())
    assert dependents.objects == ("entity site",)
    assert dependents.versions[0].role == CHAMPION


def test_without_mlflow_every_feature_counts_as_used(changed: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    changed.edit(changed.definitions, ("features=[meter_history]", 'features=[meter_history[["meter_last"]]]'))
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    try:
        made = change_planning.plan()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert made.is_refused
    assert any("does not answer" in note and "counts as used" in note for note in made.notes)
