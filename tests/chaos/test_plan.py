"""The plan of kills: every task and every kind of kill point before any a second time; equal seeds, equal plans."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kill_points import WRITERS, Moment
from plan import Chaos, Kill, Task, Usual, schedule

from perennial._common.heavy_imports import fast_imports

WHEN = st.sampled_from(["before", "after"])
MOMENTS = st.lists(st.tuples(st.sampled_from(["sql commit", "PUT /a", "lake manifest", "perennial.x.y"]), WHEN))
TASKS = st.builds(Task, st.sampled_from(["one", "two"]), st.sampled_from("abc"), st.sampled_from(["01", "02", "03"]))
LIVES = st.dictionaries(TASKS, st.builds(Usual, MOMENTS, st.floats(0.1, 9)), min_size=1)
KILLS, SEEDS = st.integers(0, 60), st.integers(0, 99)


def kills_of(plans: dict[Task, list[dict[str, Any]]], kind: tuple[str, str]) -> list[dict[str, Any]]:
    return [plan for task, planned in plans.items() if task.kind == kind for plan in planned]


@given(LIVES, KILLS, SEEDS)
def test_there_are_as_many_kills_as_were_asked_for(usual: dict[Task, Usual], kills: int, seed: int) -> None:
    assert sum(map(len, schedule(usual, kills, seed).values())) == kills


@given(LIVES, KILLS, SEEDS)
def test_no_task_goes_without_while_another_has_two(usual: dict[Task, Usual], kills: int, seed: int) -> None:
    plans = schedule(usual, kills, seed)
    counts = [len(kills_of(plans, kind)) for kind in {task.kind for task in usual}]
    assert min(counts) > 0 or max(counts) < 2


@given(LIVES, KILLS, SEEDS)
def test_no_store_is_hit_twice_before_every_other(usual: dict[Task, Usual], kills: int, seed: int) -> None:
    plans = schedule(usual, kills, seed)
    for kind in {task.kind for task in usual}:
        stores = {
            what for task in usual if task.kind == kind for what, _ in usual[task].moments if "perenn" not in what
        }
        met = Counter(plan["kill_point"][0] for plan in kills_of(plans, kind) if "kill_point" in plan)
        assert not stores or min(met[what] for what in stores) > 0 or max(met[what] for what in stores) < 2


@given(LIVES, KILLS, SEEDS)
def test_an_attempt_must_reach_its_kill_point(usual: dict[Task, Usual], kills: int, seed: int) -> None:
    for task, planned in schedule(usual, kills, seed).items():
        met: Counter[Moment] = Counter(usual[task].moments)
        for plan in planned:
            if "kill_point" in plan:
                what, when, nth = plan["kill_point"]
                assert 1 <= nth <= met[what, when]
            else:
                assert 0 <= plan["seconds"] <= usual[task].seconds


def test_later_attempts_are_killed_later() -> None:
    moments = [(what, when) for what in "abcdef" for when in ("before", "after")]
    plans = schedule({(task := Task("one", "a", "01")): Usual(moments, 1.0)}, 12, seed=1)
    places = [
        moments.index((plan["kill_point"][0], plan["kill_point"][1])) for plan in plans[task] if "kill_point" in plan
    ]
    assert places == sorted(places)
    assert {moments[place][0] for place in places} == set("abcdef")


def test_a_moment_that_comes_often_is_counted_from_the_last_kill() -> None:
    usual = {(task := Task("one", "a", "01")): Usual([("a", "before")] * 50 + [("b", "before")] * 50, 1.0)}
    kill_points = [plan["kill_point"] for plan in schedule(usual, 3, seed=1)[task]]
    assert max(nth for what, _, nth in kill_points if what == "b") <= 50


@given(LIVES, KILLS, SEEDS)
def test_the_same_seed_kills_there_again(usual: dict[Task, Usual], kills: int, seed: int) -> None:
    assert schedule(usual, kills, seed) == schedule(dict(usual), kills, seed)


def test_another_seed_kills_elsewhere() -> None:
    usual = {Task("one", "a", f"{day}"): Usual([("a", "before")] * 9, 1.0) for day in range(9)}
    assert schedule(usual, 9, seed=1) != schedule(usual, 9, seed=2)


def test_one_task_can_be_killed_alone_as_it_was_among_all() -> None:
    usual = {Task("one", step, "01"): Usual([("a", "before"), ("b", "after")], 1.0) for step in "ab"}
    every, alone = Chaos(3, usual, kills=8), Chaos(3, usual, kills=8, only="01/one/a")
    first, second = usual
    assert [alone(first, attempt) for attempt in range(1, 9)] == [every(first, attempt) for attempt in range(1, 9)]
    assert alone(second, 1) == {}


def test_a_kill_is_printed_so_that_it_can_be_repeated() -> None:
    kill = Kill(Task("training", "fit", "2024-01-03"), 2, {"kill_point": ["sql commit", "after", 4]})
    assert str(kill) == "2024-01-03/training/fit attempt 2: after sql commit #4"


@pytest.mark.parametrize("place", WRITERS, ids=lambda place: place[1])
def test_what_writes_to_stores_is_still_called_so(place: tuple[str, str]) -> None:
    # When this fails, a library has renamed it: kills would no longer be aimed at it.
    path, name = place
    with fast_imports():
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    function = inspect.unwrap(reduce(getattr, name.split("."), module))  # type: ignore[arg-type]
    assert function.__code__.co_qualname == name
    assert function.__code__.co_filename.endswith(path)
