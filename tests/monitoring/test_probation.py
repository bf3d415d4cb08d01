"""A refit on probation: compared with the champion that it replaced, confirmed or rolled back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from pipelines import run_features_until
from registered import promote, register

from perennial import Value, lake, scoring
from perennial.errors import PerennialError
from perennial.monitoring import performance, probation
from perennial.monitoring.probation import Probation
from perennial.registry import ledger, model_loading, tracking
from perennial.training import fit
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
DAYS = ("2024-01-03", "2024-01-04")
#: What these versions predict for every hour; the meters read about 5 kWh.
NEAR, FAR = 5, 50
#: Each review is by a run of its own, unless a test says otherwise.
RUNS = count()


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Four days of data; v1 and v3 are near what the meters read, v2 is far off."""
    run_features_until(energy, DAYS[-1])
    for number in (NEAR, FAR, NEAR + 1):
        register(energy, fit.feature_columns(energy), number)
    return energy


@pytest.fixture
def replaced(energy: UseCase) -> Callable[..., UseCase]:
    """A champion that a refit replaced, which has scored the two days since."""

    def of(first: int, refit: int, holdout: timedelta = timedelta(days=1)) -> UseCase:
        for table in ("ledger", "predictions"):
            if lake.table(f"energy.{table}") is not None:
                lake.catalog().drop_table(f"energy.{table}")
        case = energy.model_copy(update={"gate": energy.gate.model_copy(update={"holdout": holdout})})
        promote(case, first)
        promote(case, refit, evaluated=99, previous=first)
        for day in DAYS:
            scoring.score(case, case.partition(day))
        return case

    return of


def review(use_case: UseCase, day: str = DAYS[0], made_by: str | None = None) -> Probation:
    return probation.review(use_case, use_case.partition(day), made_by or f"run-{next(RUNS)}")


def test_a_worse_refit_is_rolled_back_by_the_gate(replaced) -> None:
    case = replaced(first=1, refit=2)
    reviewed = review(case)
    assert (reviewed.state, reviewed.partitions) == ("failed", DAYS[:1])
    assert reviewed.interval[1] < 0
    entry = ledger.champion(case)
    assert (entry.action, entry.model_version, entry.previous_version, entry.actor) == ("rolled-back", 1, 2, "gate")
    assert "rolled back: rmse of v2 against v1" in entry.reason
    assert entry.effective_from == case.partition(DAYS[-1]).end
    assert int(tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION).version) == 1


def test_no_pause_comes_with_it(replaced) -> None:
    case = replaced(first=1, refit=2)
    review(case)
    assert ledger.pause(case) is None


def test_a_refit_that_is_not_worse_is_confirmed(replaced) -> None:
    case = replaced(first=2, refit=3)
    assert review(case).state == "passed"
    assert ledger.champion(case).model_version == 3
    (entry,) = [each for each in ledger.entries(case) if each.action == "confirmed"]
    assert entry.evidence["improvement"] > 0


@pytest.mark.parametrize(("first", "refit", "state"), [(1, 2, "failed"), (2, 3, "passed")])
def test_it_ends_once(replaced, first: int, refit: int, state: str) -> None:
    case = replaced(first=first, refit=refit)
    assert [review(case).state for _ in range(2)] == [state, "none"]
    assert len(ledger.entries(case)) == 3


def test_killed_before_the_alias_moved_the_same_run_moves_it(replaced) -> None:
    case = replaced(first=1, refit=2)
    review(case, made_by="monitoring/killed")
    tracking.promote(case, 2)
    assert review(case, made_by="monitoring/killed").state == "failed"
    assert int(tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION).version) == 1


def test_later_partitions_are_not_looked_at(replaced) -> None:
    case = replaced(first=2, refit=3, holdout=timedelta(days=2))
    assert (review(case).state, review(case).partitions) == ("under way", DAYS[:1])
    assert review(case, DAYS[1]).state == "passed"


def test_each_look_is_corrected_for_their_number(replaced) -> None:
    once, twice = (review(replaced(2, 3, timedelta(days=days))) for days in (1, 2))
    assert once.confidence == pytest.approx(0.95)
    assert twice.confidence == pytest.approx(0.975)
    assert twice.interval[0] < once.interval[0]


def test_without_labels_it_goes_on(replaced, monkeypatch) -> None:
    case = replaced(first=1, refit=2)
    real = performance.judged
    monkeypatch.setattr(performance, "judged", lambda *arguments: (real(*arguments)[0], None))
    assert (review(case).state, review(case, DAYS[1]).state) == ("under way", "under way")
    assert ledger.champion(case).model_version == 2


def test_an_old_champion_that_cannot_be_loaded_ends_it_at_last(replaced, monkeypatch) -> None:
    case = replaced(first=1, refit=2)

    def gone(*arguments: object) -> None:
        raise PerennialError("the model is gone", "Restore it.")

    monkeypatch.setattr(model_loading, "load", gone)
    assert review(case).state == "under way", "it may come back"
    last = review(case, "2024-01-16")
    assert (last.state, last.reason) == ("passed", "confirmed: it cannot be compared with v1: the model is gone")
    assert ledger.champion(case).model_version == 2


def test_a_value_that_fails_ends_it_at_last(replaced) -> None:
    case = replaced(first=1, refit=2)
    value = Value(function="worth", columns=("event_timestamp",))
    gate = case.gate.model_copy(update={"metric": "value"})
    in_money = case.model_copy(update={"value": value, "gate": gate})
    assert review(in_money).reason == "it cannot be compared with v1: Use case 'energy' has no module 'value'."
    assert review(in_money, "2024-01-16").state == "passed"


def test_a_value_that_fails_stops_no_other_metric(replaced) -> None:
    case = replaced(first=1, refit=2).model_copy(update={"value": Value(function="worth")})
    assert review(case).state == "failed"


def test_labels_that_never_come_end_it_at_last(replaced, monkeypatch) -> None:
    case = replaced(first=1, refit=2)
    real = performance.judged
    monkeypatch.setattr(performance, "judged", lambda *arguments: (real(*arguments)[0], None))
    assert review(case, "2024-01-15").state == "under way"
    assert review(case, "2024-01-16").reason == "confirmed: no labels to compare on"


def test_of_many_partitions_a_few_are_looks(energy: UseCase) -> None:
    period = list(energy.partition("2024-01-03").through(energy.partition("2024-01-30")))
    due = [each for each in period if probation._is_due(period, each)]
    assert len(due) == 7
    assert due[-1] == period[-1]
    assert all(probation._is_due(period, each) for each in (period[-1].next, period[-1].next.next))


def test_what_has_replaced_a_refit_is_on_probation_too(replaced) -> None:
    case = replaced(first=1, refit=2)
    promote(case, 3)
    assert review(case).version == 3


def test_what_was_evaluated_itself_is_on_no_probation(replaced) -> None:
    case = replaced(first=1, refit=2)
    lake.catalog().drop_table("energy.ledger")
    for version in (1, 2):
        promote(case, version)
    assert review(case).state == "none"


def test_a_rollback_by_hand_ends_it(replaced) -> None:
    case = replaced(first=1, refit=2)
    ledger.record(
        case,
        event_id="rollback:by-hand",
        partition=DAYS[-1],
        action="rolled-back",
        model_version=1,
        previous_version=2,
        model_run=tracking.run_of(case, 1),
        effective_from=datetime(2024, 1, 5, tzinfo=UTC),
        actor="ada",
        reason="looks odd",
        evidence={"pause_until": None},
    )
    assert review(case).state == "none"
