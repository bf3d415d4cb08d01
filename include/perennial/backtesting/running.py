"""Replays several policies at once: each asks for the fits that it needs next, and each fit is made once for all.

Fits run in processes of their own; what they predict is in files, so a backtest that was killed goes on where it was,
and two that run at the same time use each other's. Nothing else is written: no registered version, no MLflow run, no
request and no row of the ledger.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from perennial.backtesting import comparison, fits, history, policies, replaying, worker
from perennial.backtesting.fits import Fit, Predictions
from perennial.backtesting.history import History, Stored
from perennial.backtesting.policies import Policy
from perennial.backtesting.replaying import Known
from perennial.backtesting.report import BacktestReport
from perennial.errors import InvalidParams
from perennial.partitions import Partition
from perennial.use_case import UseCase

#: Called with what happens now, for people.
Progress = Callable[[str], None]


@dataclass
class Fits:
    """The fits of one history, made as they are asked for.

    Attributes:
        rows: The history.
        recipe: Digest of the recipe.
        made, reused: How many were made now, and how many were there.
    """

    rows: History
    recipe: str
    pool: Executor | None
    stored: Stored | None
    progress: Progress
    futures: dict[Path, Future[None]] = field(default_factory=dict)
    files: dict[Fit, Path] = field(default_factory=dict)
    made: int = 0
    reused: int = 0

    def file(self, wanted: Fit) -> Path:
        """The same one for fits on the same rows."""
        if wanted not in self.files:
            self.files[wanted] = fits.file_of(self.rows, self.recipe, wanted)
        return self.files[wanted]

    def request(self, wanted: Fit) -> Future[None]:
        """What is done once the fit's predictions are there."""
        file = self.file(wanted)
        if file in self.futures:
            return self.futures[file]
        future: Future[None] = Future()
        if fits.read(self.rows, wanted, file) is not None:
            self.reused += 1
            future.set_result(None)
        else:
            self.made += 1
            self.progress(f"fitting {wanted}")
            if self.pool is None or self.stored is None:
                fits.make(self.rows, wanted, file)
                future.set_result(None)
            else:
                future = self.pool.submit(worker.make, self.stored, wanted, file)
        self.futures[file] = future
        return future

    def read(self, wanted: Fit) -> Predictions:
        """The predictions of a fit that was made."""
        file = self.file(wanted)
        read = fits.read(self.rows, wanted, file)
        if read is None:  # Somebody deleted the folder meanwhile.
            fits.make(self.rows, wanted, file)
            read = fits.read(self.rows, wanted, file)
        assert read is not None, "it was just written"  # noqa: S101
        return read


def run(
    use_case: UseCase,
    first: Partition,
    last: Partition,
    compared: Sequence[Policy] | None = None,
    *,
    jobs: int = 1,
    progress: Progress = lambda text: None,
) -> BacktestReport:
    """Replay policies over the stored history and compare each with the one that is declared.

    Args:
        use_case: Whose history and recipe.
        first: First partition of the history.
        last: Its last partition, included.
        compared: Policies beside the references; None: the usual variations.
        jobs: How many fits run at the same time; the result is the same.
        progress: Called before each step.

    Raises:
        InvalidParams: the range ends before it begins, or is too short.
        NotEnoughData: a partition is missing, or no first model passes its gate.
        BadFeatures: as for a training set.
        TrainingFailed: the estimator fails on a window.
    """
    if first >= last:
        raise InvalidParams(
            f"A backtest of {use_case.name!r} from {first} to {last} has no later partition to predict.",
            "Widen the range: --from and --to name its first and last partition.",
        )
    folder = fits.folder_of(use_case)
    folder.mkdir(parents=True, exist_ok=True)
    fits.delete_unused(use_case, time.time())
    with _pool(jobs) as pool:
        progress(f"retrieving {first} to {last}")
        rows = history.retrieve(use_case, first, last)
        if compared is None:
            compared = policies.variations(use_case, len(rows.partitions))
        wanted = {policy.name: policy for policy in (*policies.references(use_case), *compared)}
        stored = history.store(rows, folder) if pool else None
        made = Fits(rows, fits.recipe(rows), pool, stored, progress)
        known = Known(rows, made.read)
        begun = _drive({"": replaying.first_model(known, wanted[policies.DECLARED])}, made)[""]
        replays = {name: replaying.replay(known, policy, begun) for name, policy in wanted.items()}
        replayed = _drive(replays, made)
    progress("comparing")
    return comparison.compare(known, begun, list(replayed.values()), made=made.made, reused=made.reused)


def _drive(asking: dict[str, Generator[list[Fit], None, Any]], made: Fits) -> dict[str, Any]:
    """Let generators run until each has returned, giving them the fits that they ask for; their results by name."""
    results: dict[str, Any] = dict.fromkeys(asking)
    waiting: dict[str, list[Future[None]]] = {name: [] for name in asking}
    while waiting:
        for name in [name for name, futures in waiting.items() if all(each.done() for each in futures)]:
            for future in waiting[name]:
                future.result()  # Raises what the fit did.
            try:
                waiting[name] = [made.request(wanted) for wanted in next(asking[name])]
            except StopIteration as end:
                results[name] = end.value
                del waiting[name]
        pending = [each for futures in waiting.values() for each in futures if not each.done()]
        if pending and all(any(not each.done() for each in futures) for futures in waiting.values()):
            wait(pending, return_when=FIRST_COMPLETED)
    return results


@contextmanager
def _pool(jobs: int) -> Iterator[Executor | None]:
    """Processes for fits; None for a single job: they run in this one."""
    if jobs == 1:
        yield None
        return
    # Forked from a process that has imported the libraries and run nothing: a fork of this one, which has threads,
    # could hang.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.__name__])
    forkserver.ensure_running()  # It imports while this process retrieves.
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=worker.end_with_parent) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
