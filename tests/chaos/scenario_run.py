"""One scenario of the second use case: its partitions through every pipeline, its tasks killed as the plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homes import Home
from kill_points import Moment
from plan import Kill, Plan, Task, Usual, undisturbed_plan
from workers import Lane

#: A step that is watched takes so many times as long.
_WATCHED = 1.4


class StepFailed(AssertionError):
    """A step ended in an error that no fault asked for, or did not end in the one that the data asks for."""


@dataclass
class ScenarioRun:
    """Runs partitions through the pipelines, retrying each task until it ends, as Airflow would.

    Attributes:
        lane: Runs its attempts.
        kills: Those that there were.
        usual: What each task met, as far as it was watched, in the attempt that ended it.
        attempts: How many attempts each task needed.
        asked: Partitions after which a monitor asked for training.
        refusals: What was told of batches that were refused, by task.
    """

    lane: Lane
    home: Home
    plan: Plan = undisturbed_plan
    progress: Callable[[str], None] = lambda _: None
    kills: list[Kill] = field(default_factory=list)
    usual: dict[Task, Usual] = field(default_factory=dict)
    attempts: dict[Task, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    promotions: int = 0
    _moments: dict[tuple[str, str], list[Moment]] = field(default_factory=dict)

    def through(self, partitions: list[str], *, name: str = "", sends: str = "") -> None:
        """Every partition through every pipeline, and a training when the monitor asks for one.

        Args:
            partitions: Their names, in order.
            name: What tells these runs from others of the same partitions.
            sends: What is wrong with what the source sends (`bad_batches`).
        """
        for partition in partitions:
            self.run("features", partition, {"sends": sends}, name)
            self.run("scoring", partition, name=name)
            results = self.run("monitoring", partition, name=name)
            if results["request_retraining"] or results["revisit"]:
                self.asked.append(partition)
                self.run("training", partition, name=name)
            self.progress(f"{partition}{f' {name}' if name else ''}: {len(self.kills)} kills so far")

    def run(
        self,
        pipeline: str,
        partition: str,
        conf: dict[str, Any] | None = None,
        name: str = "",
        ends_in: str = "",
    ) -> dict[str, Any]:
        """One run of a pipeline; its tasks' results by name.

        Args:
            pipeline, partition, conf: What is run.
            name: What tells it from other runs of the same.
            ends_in: The error that its first task must end in, and the run with it.
        """
        from steps import PIPELINES

        results: dict[str, Any] = {"conf": conf or {}}
        for step in PIPELINES[pipeline]:
            results[step] = self.task(Task(pipeline, step, partition, name), results, ends_in)
            if ends_in or results.get("plan", {}).get("skip"):
                break
        self.promotions += bool(results.get("finalize", {}).get("promote"))
        return results

    def task(self, task: Task, results: dict[str, Any], ends_in: str = "") -> Any:
        """One task, until an attempt of it ends."""
        attempt = 0
        while True:
            attempt += 1
            plan = self.plan(task, attempt)
            answer = self.try_once(task, results, plan)
            if answer["outcome"] == "killed":
                self.kills.append(Kill(task, attempt, plan, answer["place"]))
                continue
            if answer.get("error", "") != ends_in:
                killed = "; ".join(str(kill) for kill in self.kills if kill.task == task) or "never killed"
                wanted = f", not in {ends_in}" if ends_in else ""
                raise StepFailed(
                    f"{task} ended in {answer.get('error') or 'no error'}{wanted} ({killed}):"
                    f" {answer.get('text')}\n{answer.get('traceback', '')}"
                )
            if ends_in:
                self.refusals[str(task)] = answer["text"]
            if plan.get("watch"):
                self._moments[task.kind] = [(what, when) for what, when in answer["moments"]]
                answer["seconds"] /= _WATCHED
            self.usual[task] = Usual(self._moments.get(task.kind, []), answer["seconds"])
            self.attempts[task] = attempt
            return answer.get("result")

    def try_once(self, task: Task, results: dict[str, Any], plan: dict[str, Any] | None = None) -> dict[str, Any]:
        """One attempt of a task, whatever comes of it."""
        request = {
            "pipeline": task.pipeline,
            "step": task.step,
            "partition": task.partition,
            "run": f"energy.{task.pipeline}/{task.partition}{task.run}",
            "results": results,
            "env": self.home.env,
        }
        return self.lane.attempt(request | (plan or {}))

    def contents(self) -> dict[str, Any]:
        """What all stores hold now, and what was told."""
        answer = self.try_once(Task("stores", "contents", "2024-01-01"), {})
        assert answer["outcome"] == "done", answer
        found = answer["result"]
        found["contents"]["told of refused batches"] = dict(self.refusals)
        return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    """Where two scenarios' contents differ: store -> the first thing that does."""
    differing = {}
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            differing[name] = _first_difference(one.get(name), other.get(name))
    return differing


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
