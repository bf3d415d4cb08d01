"""One life of the second use case: its partitions through every pipeline, its tasks killed as the plan says."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homes import ROOT, Home
from seams import is_store

HERE = Path(__file__).parent


class Worker:
    """The process that forks a child for each step."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        paths = os.pathsep.join([str(ROOT / "tests/second_use_case"), str(ROOT / "include"), str(HERE)])
        settled = {
            "PYTHONPATH": paths,
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "1",
            "GX_ANALYTICS_ENABLED": "false",
            "GIT_PYTHON_REFRESH": "quiet",
            "PYTHONHASHSEED": "0",
        }
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=inherited | settled | (env or {}),
        )
        self._is_ready = False

    def attempt(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one step once, in a child."""
        assert self._process.stdin is not None
        if not self._is_ready:
            assert self._answer("its start")["outcome"] == "ready"
            self._is_ready = True
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer(request["step"])

    def _answer(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise RuntimeError(f"The worker died in {what}: {self._errors.read()[-3000:]}")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        if not self._is_ready:
            self._process.kill()
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._errors.close()


@contextmanager
def stage(homes: int, small_disk: bool = False) -> Iterator[tuple[Worker, list[Home]]]:
    """A worker, and homes with their servers on the way up; all gone afterwards, whatever happens."""
    with ExitStack() as stack:
        worker = Worker()
        stack.callback(worker.close)
        found = []
        for _ in range(homes):
            found.append(Home(small_disk))
            stack.callback(found[-1].stop)
            found[-1].start()
        yield worker, found


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


@dataclass(frozen=True)
class Kill:
    """Where one attempt was killed, told so that it can be repeated."""

    task: Task
    attempt: int
    plan: dict[str, Any]
    place: str = ""

    def __str__(self) -> str:
        if "seam" in self.plan:
            what, when, nth = self.plan["seam"]
            return f"{self.task} attempt {self.attempt}: {when} {what} #{nth}"
        lines = [line.strip() for line in self.place.splitlines() if 'File "' in line]
        ours = next((line for line in lines if "perennial" in line), lines[0] if lines else "before Python ran")
        return f"{self.task} attempt {self.attempt}: after {self.plan['seconds']:.3f} s, {ours}"


#: A step that is watched takes so many times as long.
_WATCHED = 1.6


class StepFailed(AssertionError):
    """A step ended in an error that no fault asked for."""


#: What becomes of an attempt: `{"seam": [what, when, nth]}`, `{"seconds": s}` or, to leave it alone, `{}`.
Plan = Callable[[Task, int], dict[str, Any]]


class Unharmed:
    """Leaves every attempt alone, and watches the first few of each step: later ones meet the same seams."""

    def __init__(self, watched: int = 5) -> None:
        self._watched = watched
        self._seen: Counter[str] = Counter()

    def __call__(self, task: Task, attempt: int) -> dict[str, Any]:
        self._seen[task.step] += 1
        return {"watch": self._seen[task.step] <= self._watched}


@dataclass
class Chaos:
    """Kills at random: at a seam, or at a moment within the time that the step usually takes.

    Each attempt's fate depends on seed, task and number of the attempt only, so one task's kills can be repeated alone.

    Attributes:
        seed: The same seed chooses the same seams and the same moments.
        usual: What an undisturbed life met: seams with their counts, and seconds, by task.
        rate: The probability that an attempt is killed.
        attempts: At most so many of a task's attempts are killed.
        only: Harm only the tasks whose name starts so.
    """

    seed: int
    usual: dict[Task, tuple[list[list[Any]], float]]
    rate: float = 0.8
    attempts: int = 5
    only: str = ""

    def __call__(self, task: Task, attempt: int) -> dict[str, Any]:
        chance = random.Random(f"{self.seed}/{task}/{attempt}")
        if task not in self.usual or not str(task).startswith(self.only):
            return {}
        if attempt > self.attempts or chance.random() > self.rate:
            return {}
        seams, seconds = self.usual[task]
        if not seams or chance.random() < 0.4:
            return {"seconds": chance.uniform(0, seconds)}
        stores = [seam for seam in seams if is_store(seam[0])]
        among = stores if stores and chance.random() < 0.75 else seams
        # A kind first, then one of its moments: what happens once in a step is hit as often as what happens often.
        what, when, count = chance.choice(among)
        # An attempt after a kill finds part of its work done, and meets each kind less often.
        return {"seam": [what, when, chance.randint(1, max(1, count // attempt))]}


@dataclass
class Life:
    """Lives through partitions, retrying each task until it ends, as Airflow would."""

    worker: Worker
    home: Home
    plan: Plan = field(default_factory=Unharmed)
    progress: Callable[[str], None] = lambda _: None
    kills: list[Kill] = field(default_factory=list)
    usual: dict[Task, tuple[list[list[Any]], float]] = field(default_factory=dict)
    attempts: dict[Task, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    promotions: int = 0
    _seams: dict[str, list[list[Any]]] = field(default_factory=dict)

    def through(self, partitions: list[str]) -> None:
        """Every partition through every pipeline, and a training when the monitor asks for one."""
        for partition in partitions:
            for pipeline in ("features", "scoring", "monitoring"):
                results = self.run(pipeline, partition)
            if results["request_retraining"] or results["revisit"]:
                self.asked.append(partition)
                self.run("training", partition)
            self.progress(f"{partition}: {len(self.kills)} kills so far")

    def run(self, pipeline: str, partition: str, conf: dict[str, Any] | None = None, name: str = "") -> dict[str, Any]:
        """One run of a pipeline; its tasks' results by name."""
        from steps import PIPELINES

        results: dict[str, Any] = {"conf": conf or {}}
        for step in PIPELINES[pipeline]:
            task = Task(pipeline, step.__name__, partition, name)
            results[step.__name__] = self.task(task, results)
            if results.get("plan", {}).get("skip"):
                break
        self.promotions += bool(results.get("settle", {}).get("promote"))
        return results

    def task(self, task: Task, results: dict[str, Any]) -> Any:
        """One task, until an attempt of it ends."""
        attempt = 0
        while True:
            attempt += 1
            plan = self.plan(task, attempt)
            answer = self.try_once(task, results, plan)
            if answer["outcome"] == "killed":
                self.kills.append(Kill(task, attempt, plan, answer["place"]))
                continue
            if answer["outcome"] == "failed":
                killed = "; ".join(str(kill) for kill in self.kills if kill.task == task) or "never killed"
                raise StepFailed(f"{task} failed ({killed}): {answer['text']}\n{answer.get('traceback', '')}")
            if plan.get("watch"):
                self._seams[task.step] = answer["seams"]
                answer["seconds"] /= _WATCHED
            self.usual[task] = (self._seams.get(task.step, []), answer["seconds"])
            self.attempts[task] = attempt
            return answer["result"]

    def try_once(self, task: Task, results: dict[str, Any], plan: dict[str, Any] | None = None) -> dict[str, Any]:
        """One attempt of a task, whatever comes of it."""
        request = {
            "step": task.step,
            "partition": task.partition,
            "run": f"energy.{task.pipeline}/{task.partition}{task.run}",
            "results": results,
            "env": self.home.env,
        }
        return self.worker.attempt(request | (plan or {}))

    def contents(self) -> dict[str, Any]:
        """What all stores hold now."""
        answer = self.try_once(Task("", "contents", "2024-01-01"), {})
        assert answer["outcome"] == "done", answer
        return answer["result"]


def in_short(life: Life) -> None:
    """Two days of features, a model of them, and a day that it scores: every kind of pipeline but undoing."""
    for day in ("2024-01-01", "2024-01-02"):
        life.run("features", day)
    life.run("training", "2024-01-02", {"window_start": "2024-01-01", "window_end": "2024-01-02"})
    life.through(["2024-01-03"])


def in_full(life: Life, partitions: int) -> None:
    """From the first partition to the last; then a training that the clock asks for, and, once two versions have
    served, a rollback, a partition scored by the earlier one, and the end of the pause."""
    days = [f"2024-01-{day:02}" for day in range(1, partitions + 1)]
    life.through(days)
    if life.run("schedule", days[-1])["ask"]:
        life.run("training", days[-1], name="scheduled")
    if life.promotions > 1:
        life.run("rollback", days[-1], {"action": "rollback", "reason": "It predicts nonsense.", "pause": "2w"})
        life.through([f"2024-01-{partitions + 1:02}"])
        life.run("resume", days[-1], {"action": "resume", "reason": "It was the data."})


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    """Where two lives' contents differ: store -> the first thing that does."""
    found = {}
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            found[name] = _first_difference(one.get(name), other.get(name))
    return found


def _first_difference(one: Any, other: Any, where: str = "") -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                return _first_difference(one.get(key), other.get(key), f"{where}.{key}")
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return f"{where}: {len(one)} against {len(other)}; {str(one)[-300:]} against {str(other)[-300:]}"
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            if mine != its:
                return _first_difference(mine, its, f"{where}[{number}]")
    return f"{where}: {str(one)[:400]} against {str(other)[:400]}"
