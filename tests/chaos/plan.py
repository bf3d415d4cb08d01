"""Where to kill: every task, and every kind of kill point of it, before any of them a second time.

Planned before the first kill from the kill points that an undisturbed scenario reached. Kills are distributed among the
tasks (all runs of one count as one) by how many kinds of kill points each has, at least one per task; every fourth is
at a random time, the others are at the kinds chosen least often so far. The kills of one run of a task are in the order
of its kill points: what one attempt has done, the next need not do again, and would not reach.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kill_points import Moment, is_store


@dataclass(frozen=True)
class Task:
    """One task of one pipeline run.

    Attributes:
        run: What tells several runs of a pipeline for one partition apart.
    """

    pipeline: str
    step: str
    partition: str
    run: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.partition, self.pipeline, self.run, self.step)))

    @property
    def kind(self) -> tuple[str, str]:
        """What all runs of the task share."""
        return self.pipeline, self.step


@dataclass(frozen=True)
class Usual:
    """What an undisturbed attempt met.

    Attributes:
        moments: Its kill points, in order.
        seconds: How long it took.
    """

    moments: Sequence[Moment]
    seconds: float


@dataclass(frozen=True)
class Kill:
    """Where one attempt was killed, told so that it can be repeated."""

    task: Task
    attempt: int
    plan: dict[str, Any]
    place: str = ""

    @property
    def moment(self) -> Moment | None:
        """The kill point; None if it was killed at a moment of time."""
        return tuple(self.plan["kill_point"][:2]) if "kill_point" in self.plan else None

    def __str__(self) -> str:
        if "kill_point" in self.plan:
            what, when, nth = self.plan["kill_point"]
            return f"{self.task} attempt {self.attempt}: {when} {what} #{nth}"
        lines = [line.strip() for line in self.place.splitlines() if 'File "' in line]
        ours = next((line for line in lines if "perennial" in line), lines[0] if lines else "before Python ran")
        return f"{self.task} attempt {self.attempt}: after {self.plan['seconds']:.3f} s, {ours}"


#: What becomes of an attempt: `{"kill_point": [what, when, nth]}`, `{"seconds": s}` or, to leave it alone, `{}`.
Plan = Callable[[Task, int], dict[str, Any]]
#: One kill in this many falls at a moment of time, wherever the process then is.
_AT_A_MOMENT = 4


def undisturbed_plan(task: Task, attempt: int) -> dict[str, Any]:
    """The plan of a scenario that nothing happens to."""
    return {}


class Watched:
    """Disturbs no attempt, and watches the first few runs of each task: later ones reach the same kill points."""

    def __init__(self, runs: int = 3) -> None:
        self._runs = runs
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, task: Task, attempt: int) -> dict[str, Any]:
        self._seen[task.kind] += 1
        # A run with a name of its own is not like the others.
        return {"watch": self._seen[task.kind] <= self._runs or bool(task.run)}


@dataclass
class Chaos:
    """Kills so many times, where `schedule` says.

    An attempt's fate is settled before the first one: one task's kills can be repeated alone (`only`).

    Attributes:
        only: Harm only the tasks whose name starts so.
        plans: Task -> what becomes of its attempts, from the first on.
    """

    seed: int
    usual: Mapping[Task, Usual]
    kills: int
    only: str = ""
    plans: dict[Task, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self.plans = schedule(self.usual, self.kills, self.seed)

    def __call__(self, task: Task, attempt: int) -> dict[str, Any]:
        plans = self.plans.get(task, []) if str(task).startswith(self.only) else []
        return plans[attempt - 1] if attempt <= len(plans) else {}


def schedule(usual: Mapping[Task, Usual], kills: int, seed: int) -> dict[Task, list[dict[str, Any]]]:
    """So many kills: task -> the plans of its attempts, from the first on."""
    tasks: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in usual:
        tasks[task.kind].append(task)
    kinds = {kind: {m for task in runs for m in usual[task].moments if is_store(m[0])} for kind, runs in tasks.items()}
    shares = _shares({kind: 1 + len(moments) for kind, moments in kinds.items()}, kills)
    chosen: dict[Task, list[_Place]] = defaultdict(list)
    for kind, runs in tasks.items():
        chance = random.Random(f"{seed}/{'/'.join(kind)}")
        for task, place in _places(runs, usual, shares[kind], chance):
            chosen[task].append(place)
    return {task: _in_order(usual[task], places) for task, places in chosen.items()}


def _shares(weights: Mapping[tuple[str, str], int], kills: int) -> Counter[tuple[str, str]]:
    """Kills by kind of task: each has one before any has two, then by weight."""
    shares: Counter[tuple[str, str]] = Counter()
    for _ in range(kills):
        shares[min(weights, key=lambda kind: shares[kind] / weights[kind])] += 1
    return shares


@dataclass(frozen=True)
class _Place:
    """Where one attempt is to be killed.

    Attributes:
        along: How far in its task that is, between 0 and 1.
        index: Which of the task's kill points; None: at that share of its time.
    """

    along: float
    index: int | None = None


def _places(
    runs: list[Task], usual: Mapping[Task, Usual], kills: int, chance: random.Random
) -> list[tuple[Task, _Place]]:
    """So many places in these runs of one task."""
    meeting: dict[Moment, list[Task]] = defaultdict(list)
    for task in runs:
        for moment in dict.fromkeys(usual[task].moments):
            meeting[moment].append(task)
    load: Counter[Task] = Counter()
    met: Counter[str] = Counter()
    met_so: Counter[Moment] = Counter()
    places = []
    for number in range(1, kills + 1):
        if not meeting or number % _AT_A_MOMENT == 0:
            task, place = min(runs, key=lambda each: (load[each], chance.random())), _Place(chance.random())
        else:
            # What was never met first, from either side; the other side then; the library's own functions later.
            what, when = min(
                meeting,
                key=lambda m: (met[m[0]] + (not is_store(m[0])), met_so[m], chance.random()),
            )
            met[what] += 1
            met_so[what, when] += 1
            task = min(meeting[what, when], key=lambda each: (load[each], chance.random()))
            moments = usual[task].moments
            index = chance.choice([i for i, moment in enumerate(moments) if moment == (what, when)])
            place = _Place(index / len(moments), index)
        load[task] += 1
        places.append((task, place))
    return places


def _in_order(usual: Usual, places: list[_Place]) -> list[dict[str, Any]]:
    """A plan for each attempt; the kill points of one that comes later are counted from where the last one ended."""
    plans: list[dict[str, Any]] = []
    done = 0
    for place in sorted(places, key=lambda place: place.along):
        if place.index is None:
            plans.append({"seconds": place.along * usual.seconds})
        else:
            what, when = usual.moments[place.index]
            again = sum(moment == (what, when) for moment in usual.moments[done : place.index + 1])
            plans.append({"kill_point": [what, when, again]})
            done = place.index
    return plans
