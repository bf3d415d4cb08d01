"""What a policy would have done, partition by partition, and which fit would have predicted which partition.

At the end of each partition the policy sees what had happened by then: rows of the partitions so far, and labels that
had matured. It may request a new model because the champion is old, because its production performance is worse than
expected, or because the schedule says so; the model's window ends there, and it predicts from the next partition on, as
`training`, `gate` and `scoring` do it. Requests for drift are not replayed: each model would need a drift profile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.backtesting import judging
from perennial.backtesting.fits import Fit, Predictions
from perennial.backtesting.history import History
from perennial.backtesting.judging import Judgement
from perennial.backtesting.policies import ALWAYS, BASELINE, NEVER, Policy, is_refitting
from perennial.errors import NotEnoughData
from perennial.evaluation import baseline, metrics, money
from perennial.gate.decision import PROMOTE
from perennial.monitoring import performance
from perennial.monitoring.verdict import AGE, FIRST_MODEL, PERFORMANCE
from perennial.partitions import Partition
from perennial.registry import retraining_requests
from perennial.training import first_window
from perennial.use_case import UseCase
from perennial.use_case.metric_names import VALUE, gain

Array = np.ndarray
#: Asks for fits, and gets on once they are there.
Asking = Generator[list[Fit], None, "Replayed"]
#: Predictions of so many fits are held in memory.
_HELD = 48


@dataclass(frozen=True)
class Champion:
    """A model that serves.

    Attributes:
        served: What predicts.
        evaluated: What the gate measured; the same, unless what serves is its refit.
        measured: Last partition of a holdout, and the gate's metric on it, oldest first: of its own judgement, then of
            each later one that it was the champion of.
        threshold: From which probability on it acts; None: nothing is decided.
    """

    served: Fit
    evaluated: Fit
    measured: tuple[tuple[Partition, float | None], ...]
    threshold: float | None = None

    def expected(self, partition: Partition) -> float | None:
        """The gate's metric that is expected on a partition: the newest that was measured on earlier data."""
        earlier = [value for last, value in self.measured if last < partition and value is not None]
        return earlier[-1] if earlier else None

    @property
    def fits(self) -> list[Fit]:
        """What was fitted for it."""
        return list(dict.fromkeys((self.evaluated, self.served)))


@dataclass
class Replayed:
    """What a policy would have done.

    Attributes:
        policy: The policy.
        serving: Partition -> the fit that predicts it; empty for the baseline model.
        requests: Partitions at whose end a model was requested.
        promotions: Those at whose end one was promoted; the first model's is not among them.
        fits: All fits that were made for it, the first model's included.
        thresholds: From which probability on each fit that serves acts. A recipe that is refitted at every partition
            holds nothing out to choose one on: it takes the first model's.
    """

    policy: Policy
    serving: dict[str, Fit] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    promotions: list[str] = field(default_factory=list)
    fits: dict[Fit, None] = field(default_factory=dict)
    thresholds: dict[Fit, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """Where all policies begin.

    Attributes:
        champion: The first model, as the policy that is declared makes it.
        partition: At whose end it was promoted.
    """

    champion: Champion
    partition: Partition


class Known:
    """The history, with what was computed on it so far.

    Args:
        history: The rows.
        read: Gives the predictions of a fit that was made.
    """

    def __init__(self, history: History, read: Callable[[Fit], Predictions]) -> None:
        self.history = history
        self._read = lru_cache(maxsize=_HELD)(read)
        self._judged: dict[tuple[object, ...], Judgement] = {}
        self._metrics: dict[tuple[Fit, float | None, str, str], float | None] = {}
        self._baselines: dict[Fit, float | None] = {}
        self.seconds: dict[Fit, float] = {}

    def predictions(self, wanted: Fit) -> Array:
        """(n,) predictions of a fit."""
        read = self._read(wanted)
        self.seconds[wanted] = read.seconds
        return read.values

    @cached_property
    def _places(self) -> dict[str, Array]:
        """Partition -> the places of its rows."""
        order = np.argsort(self.history.partition, kind="stable")
        bounds = np.searchsorted(self.history.partition[order], np.arange(len(self.history.partitions) + 1))
        return {
            partition.key: np.sort(order[bounds[number] : bounds[number + 1]])
            for number, partition in enumerate(self.history.partitions)
        }

    def rows(self, partition: Partition, known_by: Partition | None = None) -> Array:
        """The places of a partition's rows, if they are enough to measure performance on; else none.

        Args:
            partition: The partition.
            known_by: Only labels that had matured by the end of this partition; None: all.
        """
        use_case, places = self.history.use_case, self._places[partition.key]
        if known_by is not None:
            places = places[self.history.is_known(known_by.end)[places]]
        needed = use_case.drift.min_coverage * self.history.examples[partition.key]
        return places if len(places) >= max(use_case.drift.min_rows, needed) else places[:0]

    def metric(
        self, wanted: Fit, threshold: float | None, partition: Partition, known_by: Partition | None = None
    ) -> float | None:
        """The gate's metric of a fit on a partition; None: too few labels, or it is not defined there.

        Args:
            wanted: The fit.
            threshold: From which probability on it acts; None: nothing is decided.
            partition: The partition.
            known_by: As for `rows`.
        """
        key = wanted, threshold, partition.key, known_by.key if known_by else ""
        if key not in self._metrics:
            rows, use_case = self.rows(partition, known_by), self.history.use_case
            value = None
            if len(rows):
                label, prediction = self.history.label[rows], self.predictions(wanted)[rows]
                worth = self._worth(rows, prediction, threshold)
                value = metrics.evaluate_one(use_case, use_case.gate.metric, label, prediction, worth)
            self._metrics[key] = value
        return self._metrics[key]

    def _worth(self, rows: Array, prediction: Array, threshold: float | None) -> Array | None:
        """(m,) what each of some rows is worth; None: that is not declared."""
        if self.history.use_case.value is None:
            return None
        return money.of_rows(self.history.use_case, self._to_value(rows), prediction, threshold)

    def _to_value(self, rows: Array) -> pd.DataFrame:
        """Some rows with the columns that say what they are worth."""
        value = self.history.use_case.value
        wanted = ["label", *(value.columns if value is not None else ())]
        return self.history.rows.select(list(dict.fromkeys(wanted))).take(pa.array(rows)).to_pandas()

    def _baseline(self, fitted: Fit) -> float | None:
        """What the baseline model says of every row, by the rows of a fit; None: no value is declared."""
        if fitted not in self._baselines:
            rows = self._to_value(np.flatnonzero(fitted.rows(self.history)))
            self._baselines[fitted] = money.baseline(self.history.use_case, rows)
        return self._baselines[fitted]

    def baseline_metric(self, fitted: Fit, partition: Partition) -> float | None:
        """The gate's metric of the baseline model on a partition.

        Args:
            fitted: The fit from whose labels the constant comes.
            partition: The partition.
        """
        rows, use_case = self.rows(partition), self.history.use_case
        if not len(rows):
            return None
        if use_case.gate.metric == VALUE:
            says = self._baseline(fitted)
            worth = money.of_baseline(use_case, self._to_value(rows), says) if says is not None else None
            return float(worth.mean()) if worth is not None else None
        frame = self.history.rows.take(pa.array(rows)).to_pandas()
        prediction = baseline.predictions(use_case, self.history.label[fitted.rows(self.history)], frame)
        return metrics.evaluate_one(use_case, use_case.gate.metric, self.history.label[rows], prediction)

    def uncertainty(self, champion: Champion, partition: Partition, known_by: Partition) -> float:
        """By how much the gate's metric may be off, as the monitor has it."""
        rows = self.rows(partition, known_by)
        prediction = self.predictions(champion.served)[rows]
        worth = self._worth(rows, prediction, champion.threshold)
        return performance.uncertainty(self.history.use_case, self.history.label[rows], prediction, worth)

    def judge(self, use_case: UseCase, challenger: Fit, champion: Champion | None) -> Judgement:
        """`judging.judge`, once for policies with the same gate."""
        its, threshold = (champion.evaluated, champion.threshold) if champion is not None else (None, None)
        key = use_case.gate.model_dump_json(), challenger, its, threshold
        if key not in self._judged:
            judged = judging.judge(use_case, self.history, challenger, its, self.predictions, threshold)
            self._judged[key] = judged
        return self._judged[key]


def first_model(known: Known, policy: Policy) -> Generator[list[Fit], None, Start]:
    """The first model that passes its gate.

    Args:
        known: The history.
        policy: As declared.

    Raises:
        NotEnoughData: none does.
    """
    use_case, history = policy.use_case, known.history
    made: list[tuple[str, str]] = []
    for partition in history.partitions:
        if not first_window.measure(use_case, partition).is_enough or _is_held_back(
            use_case, partition, FIRST_MODEL, made
        ):
            continue
        made.append((partition.key, FIRST_MODEL))
        challenger = _challenger(use_case, history, partition)
        if not judging.enough(use_case, history, challenger):
            continue
        yield [challenger]
        judgement = known.judge(use_case, challenger, None)
        if judgement.outcome == PROMOTE:
            served = _served(use_case, challenger)
            yield [served]
            return Start(_promoted(served, challenger, partition, judgement), partition)
    raise NotEnoughData(
        f"Use case {use_case.name!r}: from {history.partitions[0]} to {history.partitions[-1]} no first model passes"
        " its gate, so there is nothing to compare.",
        "Widen the range, or look at the gate's decisions: `perennial history " + use_case.name + "`.",
    )


def replay(known: Known, policy: Policy, start: Start) -> Asking:
    """What a policy would have done from the first model on.

    Args:
        known: The history.
        policy: The policy.
        start: The first model, with which every policy begins.
    """
    done = Replayed(policy)
    later = [each for each in known.history.partitions if each > start.partition]
    if policy.kind == BASELINE:
        return done
    done.fits = dict.fromkeys(start.champion.fits)
    done.thresholds = {start.champion.served: start.champion.threshold}
    if policy.kind == NEVER:
        done.serving = {partition.key: start.champion.served for partition in later}
    elif policy.kind == ALWAYS:
        done.serving = {
            partition.key: _whole(policy.use_case, known.history, partition.previous) for partition in later
        }
        done.fits = dict.fromkeys(done.serving.values())
        done.thresholds = dict.fromkeys(done.fits, start.champion.threshold)
        done.promotions = done.requests = [partition.previous.key for partition in later[1:]]
        yield list(done.fits)
    else:
        yield from _loop(known, policy, start, later, done)
    return done


def _loop(
    known: Known, policy: Policy, start: Start, later: list[Partition], done: Replayed
) -> Generator[list[Fit], None, None]:
    """Requests, gate and promotions of a policy."""
    use_case, history, champion = policy.use_case, known.history, start.champion
    since, made = start.partition, [(start.partition.key, FIRST_MODEL)]
    for partition in later:
        done.serving[partition.key] = champion.served
        if partition == later[-1]:
            continue  # What the last one would lead to serves none of them.
        reason = _reason(known, use_case, champion, since, partition)
        if not reason or _is_held_back(use_case, partition, reason, made):
            continue
        made.append((partition.key, reason))
        done.requests.append(partition.key)
        challenger = _challenger(use_case, history, partition)
        if not judging.enough(use_case, history, challenger):
            continue
        done.fits[challenger] = None
        yield [challenger]
        judgement = known.judge(use_case, challenger, champion)
        if judgement.outcome == PROMOTE:
            served = _served(use_case, challenger)
            done.fits[served] = None
            yield [served]
            champion, since = _promoted(served, challenger, partition, judgement), partition
            done.thresholds[served] = champion.threshold
            done.promotions.append(partition.key)
        elif judgement.champion is not None:
            # The same comparison measured the champion on newer data: that is what is expected of it from now on.
            champion = replace(champion, measured=(*champion.measured, (partition, judgement.champion)))


def _promoted(served: Fit, challenger: Fit, partition: Partition, judgement: Judgement) -> Champion:
    """The challenger as champion from the end of a partition on."""
    return Champion(served, challenger, ((partition, judgement.challenger),), judgement.threshold)


def _reason(known: Known, use_case: UseCase, champion: Champion, since: Partition, partition: Partition) -> str:
    """Why a model is to be requested at the end of a partition; empty: there is no reason.

    Args:
        known: The history.
        use_case: With the policy.
        champion: What serves.
        since: At whose end it was promoted.
        partition: The partition that ends.
    """
    oldest, cron = use_case.retraining.max_age, use_case.retraining.schedule
    served = list(since.next.through(partition))
    if _has_fallen(known, use_case, champion, served):
        return PERFORMANCE
    if oldest is not None and len(served) >= oldest:
        return AGE
    return retraining_requests.SCHEDULE if cron is not None and _fires(cron, partition) else ""


def _has_fallen(known: Known, use_case: UseCase, champion: Champion, served: list[Partition]) -> bool:
    """Whether what serves is worse than expected on the newest of these partitions that has its labels by their end."""
    drop, partition = use_case.drift.performance_drop, served[-1]
    if drop is None:
        return False
    for each in reversed(served[-1 - use_case.drift.revisits :]):
        value = known.metric(champion.served, champion.threshold, each, partition)
        if value is not None:  # The newest that has its labels.
            expected = champion.expected(each)
            lost = gain(use_case.gate.metric, expected, value) if expected is not None else 0.0
            return lost > max(drop, known.uncertainty(champion, each, partition))
    return False


def _is_held_back(use_case: UseCase, partition: Partition, reason: str, made: list[tuple[str, str]]) -> bool:
    """Whether a request is too soon after one before it."""
    return retraining_requests.held_back_by(use_case, partition, reason, made) is not None


def _fires(cron: str, partition: Partition) -> bool:
    """Whether a schedule fires while this is the newest partition that has ended."""
    from croniter import croniter

    after = partition.end - timedelta(microseconds=1)
    return bool(croniter(cron, after).get_next(type(after)) < partition.next.end)


def _first(use_case: UseCase, history: History, last: Partition) -> Partition:
    """The first partition of the window that ends with `last`."""
    window = use_case.retraining.window
    return (last.preceding(window - 1, history.partitions[0]) or [last])[0] if window else history.partitions[0]


def _challenger(use_case: UseCase, history: History, last: Partition) -> Fit:
    first = _first(use_case, history, last)
    return Fit(first, last, use_case.holdout_start(first.start, last.end))


def _whole(use_case: UseCase, history: History, last: Partition) -> Fit:
    return Fit(_first(use_case, history, last), last)


def _served(use_case: UseCase, evaluated: Fit) -> Fit:
    """What serves of a challenger that was promoted."""
    return Fit(evaluated.first, evaluated.last) if is_refitting(use_case) else evaluated
