"""How often each task was killed, and at how many of its kinds of kill points."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from kill_points import Moment, is_store
from scenario_run import ScenarioRun

_FORM = "{:<12}{:<20}{:>6}{:>9}{:>12}{:>9}{:>12}{:>14}"


def table(undisturbed: Sequence[ScenarioRun], harmed: Sequence[ScenarioRun]) -> str:
    """A row a task: all runs of all scenarios together.

    The last columns count, of the stores that it writes to (`sql UPDATE iceberg_tables`), how many it was killed right
    before or after, and of those moments (`before ...`, `after ...`) how many.
    """
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    seen, met = _known(undisturbed), _met(harmed)
    for scenario in harmed:
        for task, attempts in scenario.attempts.items():
            rows[task.kind].update(runs=1, retries=attempts - 1)
        for kill in scenario.kills:
            rows[kill.task.kind].update(["at a moment" if kill.moment is None else "at a kill point"])
    lines = [
        _FORM.format("pipeline", "task", "runs", "retries", "at moments", "at kill points", "stores", "before, after")
    ]
    for kind, row in rows.items():
        lines.append(_line(kind, row, [seen[kind]], [met[kind] & seen[kind]]))
    total = sum(rows.values(), Counter())
    lines.append(_line(("all", ""), total, list(seen.values()), [met[kind] & seen[kind] for kind in seen]))
    return "\n".join(lines)


def _line(kind: tuple[str, str], row: Counter[str], seen: list[set[Moment]], met: list[set[Moment]]) -> str:
    stores = f"{_stores(met)} of {_stores(seen)}"
    moments = f"{sum(map(len, met))} of {sum(map(len, seen))}"
    return _FORM.format(*kind, row["runs"], row["retries"], row["at a moment"], row["at a kill point"], stores, moments)


def _stores(moments: list[set[Moment]]) -> int:
    return sum(len({what for what, _ in each}) for each in moments)


def _known(undisturbed: Sequence[ScenarioRun]) -> dict[tuple[str, str], set[Moment]]:
    """What each task meets of stores when nothing happens to it."""
    moments: dict[tuple[str, str], set[Moment]] = defaultdict(set)
    for scenario in undisturbed:
        for task, usual in scenario.usual.items():
            moments[task.kind] |= {moment for moment in usual.moments if is_store(moment[0])}
    return moments


def _met(harmed: Sequence[ScenarioRun]) -> dict[tuple[str, str], set[Moment]]:
    moments: dict[tuple[str, str], set[Moment]] = defaultdict(set)
    for scenario in harmed:
        for kill in scenario.kills:
            if kill.moment is not None:
                moments[kill.task.kind].add(kill.moment)
    return moments
