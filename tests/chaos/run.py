"""The long version: a life undisturbed, the same life killed at random at least so many times, and what differs.

    make chaos
    .venv/bin/python tests/chaos/run.py --seed 7 --only 2024-01-03/training/fit    # one task's kills again

Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "second_use_case")]

from homes import Home  # noqa: E402
from life import Chaos, Life, StepFailed, Worker, differences, in_full, stage  # noqa: E402
from seams import is_store  # noqa: E402

_BEGAN = time.monotonic()


def main() -> int:
    options = _options()
    _say(f"seed {options.seed}, {options.partitions} daily partitions, at least {options.kills} kills")
    with stage(homes=2) as (worker, homes):
        return _compare(worker, homes, options)


def _compare(worker: Worker, homes: list[Home], options: argparse.Namespace) -> int:
    homes[0].wait()
    calm = Life(worker, homes[0], progress=lambda text: _say(f"undisturbed: {text}"))
    in_full(calm, options.partitions)
    expected = calm.contents()
    _say(f"undisturbed: {len(calm.usual)} tasks, trained for {', '.join(calm.asked)}")
    chaos = Chaos(options.seed, calm.usual, rate=options.rate, attempts=options.attempts, only=options.only)
    homes[1].wait()
    harmed = Life(worker, homes[1], plan=chaos, progress=lambda text: _say(f"killed: {text}"))
    try:
        in_full(harmed, options.partitions)
    except StepFailed as failure:
        print(f"\n{failure}\nAgain: {_again(options, harmed)}")
        return 1
    found = harmed.contents()
    wrong = differences(expected["contents"], found["contents"])
    _report(calm, harmed, wrong, found["leftovers"])
    if wrong:
        print(f"Again: {_again(options, harmed)}")
    few = len(harmed.kills) < options.kills
    if few:
        print(f"Only {len(harmed.kills)} kills, {options.kills} were wanted: raise --rate, --attempts or --partitions.")
    return 1 if wrong or few else 0


def _report(calm: Life, harmed: Life, wrong: dict[str, str], leftovers: dict[str, int]) -> None:
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    seams: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for task, attempts in harmed.attempts.items():
        rows[task.pipeline, task.step].update(runs=1, retries=attempts - 1)
    for kill in harmed.kills:
        at_a_seam = "seam" in kill.plan
        rows[kill.task.pipeline, kill.task.step].update(at_a_seam=at_a_seam, at_a_moment=not at_a_seam)
        if at_a_seam and is_store(kill.plan["seam"][0]):
            seams[kill.task.pipeline, kill.task.step].add(tuple(kill.plan["seam"][:2]))
    known: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for task, (met, _) in calm.usual.items():
        known[task.pipeline, task.step] |= {(what, when) for what, when, _ in met if is_store(what)}
    form = "{:<12}{:<20}{:>6}{:>9}{:>12}{:>9}{:>15}"
    print("\n" + form.format("pipeline", "task", "runs", "retries", "at moments", "at seams", "store seams"))
    for (pipeline, step), row in rows.items():
        covered = f"{len(seams[pipeline, step])} of {len(known[pipeline, step])}"
        print(form.format(pipeline, step, row["runs"], row["retries"], row["at_a_moment"], row["at_a_seam"], covered))
    total: Counter[str] = sum(rows.values(), Counter())
    print(form.format("all", "", total["runs"], total["retries"], total["at_a_moment"], total["at_a_seam"], ""))
    print(f"\n{len(harmed.kills)} kills, {time.monotonic() - _BEGAN:.0f} s, {len(wrong)} differences")
    for store, difference in wrong.items():
        print(f"  {store}: {difference}")
    print(f"Left behind, read by nobody: {', '.join(f'{count} {what}' for what, count in leftovers.items())}")


def _again(options: argparse.Namespace, harmed: Life) -> str:
    """The command that repeats the last kills; all of them if the difference is not the last task's."""
    last = harmed.kills[-1].task if harmed.kills else ""
    kills = "\n  ".join(str(kill) for kill in harmed.kills[-5:])
    command = f"{os.path.relpath(sys.executable)} tests/chaos/run.py --seed {options.seed}"
    command += f" --partitions {options.partitions} --rate {options.rate} --attempts {options.attempts}"
    return f"{command}\nThe last task that was killed, alone: the same with --only {last}\nThe last kills:\n  {kills}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="chooses the kills")
    parser.add_argument("--kills", type=int, default=0, help="fail if there were fewer")
    parser.add_argument("--partitions", type=int, default=12, help="daily partitions, from 4 on")
    parser.add_argument("--rate", type=float, default=0.9, help="probability that an attempt is killed")
    parser.add_argument("--attempts", type=int, default=8, help="at most so many attempts of a task are killed")
    parser.add_argument("--only", default="", help="kill only tasks whose name begins so, such as 2024-01-03/training")
    return parser.parse_args()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
