"""A worker killed at random, and what it leaves once its tasks have been retried: the short version of `make chaos`."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import pytest
from homes import ROOT
from life import Chaos, Life, differences, in_short, stage
from steps import STEPS

SEED = int(os.environ.get("CHAOS_SEED", "4"))
#: Of DAGs' tasks those that write nothing.
HARMLESS = {"ask_a_person"}
pytestmark = pytest.mark.timeout(900)  # For busy machines.


@pytest.fixture(scope="module")
def lives() -> Iterator[tuple[Life, Life]]:
    """Three days with a model: undisturbed, and killed."""
    with stage(homes=2) as (worker, homes):
        homes[0].wait()
        calm = Life(worker, homes[0])
        in_short(calm)
        homes[1].wait()
        harmed = Life(worker, homes[1], plan=Chaos(SEED, calm.usual, rate=0.5, attempts=2))
        in_short(harmed)
        yield calm, harmed


def test_a_killed_life_ends_as_an_undisturbed_one(lives: tuple[Life, Life]) -> None:
    calm, harmed = lives
    assert len(harmed.kills) >= 10
    found = differences(calm.contents()["contents"], harmed.contents()["contents"])
    places = "\n".join(str(kill) for kill in harmed.kills)
    assert not found, f"Again: CHAOS_SEED={SEED} pytest {__file__}. Killed at:\n{places}"


def test_a_promoted_model_came_out_of_both(lives: tuple[Life, Life]) -> None:
    assert [life.promotions for life in lives] == [1, 1]


def test_every_task_of_every_dag_is_among_the_steps() -> None:
    tasks = {
        node.name
        for path in (ROOT / "dags").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("task") for decorator in node.decorator_list)
    }
    assert tasks - HARMLESS == set(STEPS) - {"contents"}
