"""The long version: scenarios undisturbed, the same scenarios killed at least so many times, and what differs.

    make chaos
    .venv/bin/python tests/chaos/run.py --seed 7 --lake files --only 2024-01-03/training/fit    # one task's kills again

A scenario whose lake is on an object store goes on beside a longer one on files. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "second_use_case")]

from homes import Home  # noqa: E402
from plan import Chaos, Watched  # noqa: E402
from report import table  # noqa: E402
from scenario_run import ScenarioRun, StepFailed, differences  # noqa: E402
from scenarios import in_full  # noqa: E402
from workers import Worker, stage  # noqa: E402

_BEGAN = time.monotonic()
#: Of the kills that are planned some find no victim: a retry that is done sooner than the first attempt was.
_MARGIN = 1.3


@dataclass
class Pair:
    """A scenario undisturbed, and the same killed.

    Attributes:
        lake: Where lake, training sets and MLflow's artifacts are: `files` or `s3`.
        partitions: How many days it lasts.
        kills: At least so many.
        wrong: Store -> the first difference; None until both have ended.
    """

    lake: str
    partitions: int
    kills: int
    homes: list[Home] = field(init=False)
    undisturbed: ScenarioRun = field(init=False)
    harmed: ScenarioRun = field(init=False)
    wrong: dict[str, str] | None = None
    failure: str = ""
    leftovers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.homes = [Home(on_s3=self.lake == "s3") for _ in range(2)]

    def live(self, worker: Worker, seed: int, only: str) -> None:
        """One scenario after the other."""
        lane = worker.lane()
        self.homes[0].wait()
        self.undisturbed = ScenarioRun(
            lane, self.homes[0], Watched(), lambda text: _say(f"{self.lake}, undisturbed: {text}")
        )
        in_full(self.undisturbed, self.partitions)
        expected = self.undisturbed.contents()
        tasks, trained = len(self.undisturbed.usual), ", ".join(self.undisturbed.asked)
        _say(
            f"{self.lake}, undisturbed: {tasks} tasks, trained for {trained}, {self.undisturbed.promotions} promotions"
        )
        chaos = Chaos(seed, self.undisturbed.usual, round(self.kills * _MARGIN), only)
        self.homes[1].wait()
        self.harmed = ScenarioRun(lane, self.homes[1], chaos, lambda text: _say(f"{self.lake}, killed: {text}"))
        try:
            in_full(self.harmed, self.partitions)
        except StepFailed as failure:
            self.failure = str(failure)
            return
        after = self.harmed.contents()
        self.leftovers = after["leftovers"]
        self.wrong = differences(expected["contents"], after["contents"])
        _say(f"{self.lake}: {len(self.harmed.kills)} kills, {len(self.wrong)} differences")


def main() -> int:
    options = _options()
    on_s3 = {"both": options.kills // 4, "s3": options.kills, "files": 0}[options.lake]
    pairs = [Pair("files", options.partitions, options.kills - on_s3)] if options.lake != "s3" else []
    pairs += [Pair("s3", min(4, options.partitions), on_s3)] if options.lake != "files" else []
    _say(
        f"seed {options.seed}, {' and '.join(f'{p.partitions} days ({p.lake})' for p in pairs)}, {options.kills} kills"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # Not without stopping the servers.
    # The stage goes first, and the scenarios with it, when somebody interrupts.
    with ThreadPoolExecutor(len(pairs)) as beside, stage(*(home for pair in pairs for home in pair.homes)) as worker:
        for done in [beside.submit(pair.live, worker, options.seed, options.only) for pair in pairs]:
            done.result()
    return _report(pairs, options)


def _report(pairs: list[Pair], options: argparse.Namespace) -> int:
    print("\n" + table([pair.undisturbed for pair in pairs], [pair.harmed for pair in pairs]))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    kills = sum(len(pair.harmed.kills) for pair in pairs)
    wrong = sum(len(pair.wrong or ()) for pair in pairs)
    print(
        f"\n{kills} kills, {wrong} differences, {time.monotonic() - _BEGAN:.0f} s,"
        f" {used.ru_utime + used.ru_stime:.0f} s of CPU without PostgreSQL's"
    )
    for pair in pairs:
        for store, difference in (pair.wrong or {}).items():
            print(f"  {pair.lake}, {store}: {difference}")
        left = ", ".join(f"{count} {kind}" for kind, count in pair.leftovers.items())
        print(f"Left behind and read by nobody ({pair.lake}): {left}")
        if pair.failure or pair.wrong:
            print(f"{pair.failure}\nAgain: {_again(pair, options)}")
    few = kills < options.kills and not options.only
    if few:
        print(f"Only {kills} kills, {options.kills} were wanted: raise --partitions.")
    return 1 if few or any(pair.failure or pair.wrong for pair in pairs) else 0


def _again(pair: Pair, options: argparse.Namespace) -> str:
    """The command that repeats the last kills; all of them if the difference is not the last task's."""
    last = pair.harmed.kills[-1].task if pair.harmed.kills else ""
    kills = "\n  ".join(str(kill) for kill in pair.harmed.kills[-5:])
    command = f"{os.path.relpath(sys.executable)} tests/chaos/run.py --seed {options.seed} --lake {pair.lake}"
    command += f" --partitions {pair.partitions} --kills {pair.kills}"
    return f"{command}\nThe last task that was killed, alone: the same with --only {last}\nThe last kills:\n  {kills}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="chooses the kills")
    parser.add_argument("--kills", type=int, default=200, help="at least so many; fewer are a failure")
    parser.add_argument("--lake", choices=["both", "files", "s3"], default="both", help="both: a quarter on s3")
    parser.add_argument("--partitions", type=int, default=8, help="daily partitions, from 4 on")
    parser.add_argument("--only", default="", help="kill only tasks whose name begins so, such as 2024-01-03/training")
    return parser.parse_args()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
