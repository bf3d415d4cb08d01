"""What the loop gains of what could be gained: over many years that were resampled, and in worlds that drift otherwise.

Policies are replayed by the library's own code (`perennial.backtesting`) on histories that are made here:

- *flights*: the flights of 2013, each month's days drawn again with replacement, so that no lucky year decides;
- *abrupt*: what makes an event likely changes at once, twice in two years, as prices of Elec2 do (M. Harries, "SPLICE-2
  Comparative Evaluation: Electricity Pricing", 1999);
- *gradual*: it turns a little every month;
- *recurring*: two regimes alternate every six months;
- *stationary*: nothing changes, and whatever is retrained is retrained for nothing.

    python benchmarks/decisions.py [REPEATS] [WORLD ...]

*Share* is the loop's gain over never retraining, as a share of that of always retraining: of sums over all repeats.
Requests for drift are not replayed, so a loop in production may retrain more often than this one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import bare
import numpy as np
import polars as pl
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

from perennial import Partition, Retraining, UseCase, discovery, lake
from perennial.backtesting import policies, replaying
from perennial.backtesting.fits import Fit, Predictions
from perennial.backtesting.history import History
from perennial.backtesting.replaying import Known, Replayed, Start
from use_cases.flights.model import build
from use_cases.flights.use_case import FlightsParams

Array = np.ndarray
REPEATS = 5
MONTHS, ROWS, FEATURES = 24, 3_000, 6  #: Of a generated history; rows of each month.
WINDOW = 2  #: Months that the first model is fitted on.
#: Of the generated worlds: where a relation may change at once, old rows and a late request both cost.
RETRAINING = Retraining(initial_partitions=WINDOW, window=6, max_age=1, cooldown=0)


@dataclass(frozen=True)
class World:
    """A history that can be made again by another seed, and what is fitted on it.

    Attributes:
        make: Random numbers -> a history.
        build: Makes an unfitted estimator.
    """

    make: Callable[[np.random.Generator], History]
    build: Callable[[], Any]


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-decisions-") as name:
        every = worlds(Path(name))
        wanted = sys.argv[2:] or list(every)
        print(f"{repeats} histories of each world; mean live AUC; promotions and requests of one history")
        print("| world | never | loop | always | share of the gain | worst history | promotions | requests |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for world in wanted:
            print(line(world, [measured(every[world], seed) for seed in range(repeats)]), flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s in all")


def line(world: str, results: list[dict[str, Any]]) -> str:
    """A line of the table."""
    never, loop, always = (np.array([each[name] for each in results]) for name in ("never", "declared", "always"))
    gained, possible = loop - never, always - never
    # Of a world in which nothing is to be gained, a share would be noise divided by noise.
    is_to_be_gained = possible.mean() > 0.005
    share = f"{gained.sum() / possible.sum():.0%}" if is_to_be_gained else f"{gained.mean():+.4f}"
    worst = f"{(gained / possible).min():.0%}" if is_to_be_gained else f"{gained.min():+.4f}"
    counts = [np.mean([each[name] for each in results]) for name in ("promotions", "requests")]
    return (
        f"| {world} | {never.mean():.4f} | {loop.mean():.4f} | {always.mean():.4f} | {share} | {worst} |"
        f" {counts[0]:.1f} | {counts[1]:.1f} |"
    )


def measured(world: World, seed: int) -> dict[str, Any]:
    """Mean live metric of each policy on one history."""
    history = world.make(np.random.default_rng(seed))
    fits: dict[Fit, Predictions] = {}

    def read(wanted: Fit) -> Predictions:
        if wanted not in fits:
            fits[wanted] = fitted(history, wanted, world.build)
        return fits[wanted]

    known = Known(history, read)
    start = first_model(known)
    replayed: dict[str, Replayed] = {
        policy.name: ended(replaying.replay(known, policy, start))
        for policy in policies.references(history.use_case)
        if policy.kind != "baseline"
    }
    later = [each for each in history.partitions if each > start.partition]
    means = {
        name: float(np.mean([_metric(known, each, partition) for partition in later]))
        for name, each in replayed.items()
    }
    loop = replayed["declared"]
    return {**means, "promotions": len(loop.promotions), "requests": len(loop.requests)}


def _metric(known: Known, replayed: Replayed, partition: Partition) -> float | None:
    fit = replayed.serving[partition.key]
    return known.metric(fit, replayed.thresholds[fit], partition)


def first_model(known: Known) -> Start:
    """The model of the first months, whatever the gate says of it: all policies begin with it."""
    use_case, partition = known.history.use_case, known.history.partitions[WINDOW - 1]
    evaluated = replaying._challenger(use_case, known.history, partition)
    judgement = known.judge(use_case, evaluated, None)
    served = replaying._served(use_case, evaluated)
    return Start(replaying._promoted(served, evaluated, partition, judgement), partition)


def ended(asking: Generator[list[Fit], None, Any]) -> Any:
    """What a generator returns; its fits are made when they are read."""
    while True:
        try:
            next(asking)
        except StopIteration as end:
            return end.value


def fitted(history: History, wanted: Fit, build: Callable[[], Any]) -> Predictions:
    """A fit's predictions of every later row."""
    inputs, rows, later = list(history.inputs), wanted.rows(history), wanted.later(history)
    frame = history.rows.select(inputs).to_pandas()
    model = build().fit(frame[rows], history.label[rows])
    values = np.full(len(rows), np.nan)
    values[later] = model.predict_proba(frame[later])[:, 1]
    return Predictions(values, 0.0)


def worlds(folder: Path) -> dict[str, World]:
    """All worlds by name."""

    def small() -> Any:
        return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, early_stopping=False, random_state=1)

    moving = {"abrupt": _abrupt, "gradual": _gradual, "recurring": _recurring, "stationary": _still}
    generated = {
        name: World(lambda random, moves=moves: _generated(moves, random), small) for name, moves in moving.items()
    }
    flights: list[History] = []

    def resampled(random: np.random.Generator) -> History:
        if not flights:
            flights.append(_flights(folder))
        return _resampled(flights[0], random)

    return {"flights": World(resampled, lambda: build(FlightsParams()))} | generated


def _flights(folder: Path) -> History:
    use_case = discovery.load("flights")
    months = list(use_case.first.through(use_case.partition("2013-12")))
    for month in months:
        bare.month(use_case, month, folder)
    rows = bare.joined(use_case, months, folder).filter(pl.col("label").is_not_null())
    rows = rows.sort("event_timestamp", "flight_id")
    keys = pl.col("event_timestamp").dt.strftime("%Y-%m").alias(lake.PARTITION)
    return _history(use_case, rows.with_columns(keys), tuple(bare._columns(use_case)))


def _resampled(history: History, random: np.random.Generator) -> History:
    """Each month's days drawn with replacement; a day keeps its own features, and takes the date of its place."""
    rows = pl.DataFrame(history.rows).with_columns(day=pl.col("event_timestamp").dt.truncate("1d"))
    days = rows.select(lake.PARTITION, "day").unique().sort("day")
    drawn = pl.concat(
        each.select(target="day", source=each["day"].gather(random.integers(each.height, size=each.height)))
        for each in days.partition_by(lake.PARTITION, maintain_order=True)
    )
    moved = drawn.select("target", "source").join(rows, left_on="source", right_on="day")
    shift = pl.col("target") - pl.col("source")
    moved = moved.with_columns(pl.col("event_timestamp") + shift, pl.col("label_timestamp") + shift)
    return _history(history.use_case, moved.sort("event_timestamp").drop("target", "source"), history.inputs)


def _history(use_case: UseCase, rows: pl.DataFrame, inputs: tuple[str, ...]) -> History:
    keys = rows[lake.PARTITION].unique().sort().to_list()
    partitions = tuple(use_case.partition(keys[0]).through(use_case.partition(keys[-1])))
    counts = dict(rows[lake.PARTITION].value_counts().iter_rows())
    return History(use_case, partitions, rows.to_arrow(), inputs, counts)


def _generated(moves: Callable[[int, Array, Array], Array], random: np.random.Generator) -> History:
    """Months of rows whose days differ; (features,) coefficients of each month from two random ones."""
    declared = discovery.load("flights")
    gate = declared.gate.model_copy(update={"slices": ()})
    changes = {"start": "2020-01", "end": None, "gate": gate, "retraining": RETRAINING}
    use_case = declared.model_copy(update=changes)
    one, other = (random.normal(size=FEATURES) for _ in range(2))
    one, other = (1.2 * each / np.linalg.norm(each) for each in (one, other))
    parts, names = [], tuple(f"x{number}" for number in range(FEATURES))
    for month, partition in enumerate(use_case.first.through(use_case.partition(f"{2020 + (MONTHS - 1) // 12}-12"))):
        days = (partition.end - partition.start).days
        day = np.sort(random.integers(days, size=ROWS))
        values = random.normal(size=(ROWS, FEATURES))
        effect = random.normal(scale=0.3, size=days)[day]
        chance = expit(values @ moves(month, one, other) + 0.5 * values[:, 0] * values[:, 1] + effect - 1)
        second = timedelta(days=1).total_seconds()
        at = np.sort(day * second + random.random(ROWS) * second)
        moments = pl.Series(np.datetime64(partition.start.replace(tzinfo=None), "us") + (at * 1e6).astype("m8[us]"))
        moments = moments.dt.replace_time_zone("UTC")
        frame = pl.DataFrame({name: values[:, number] for number, name in enumerate(names)})
        parts.append(
            frame.with_columns(
                moments.alias("event_timestamp"),
                (moments + timedelta(hours=1)).alias("label_timestamp"),
                pl.Series("label", (random.random(ROWS) < chance).astype(np.int64)),
                pl.lit(partition.key).alias(lake.PARTITION),
            )
        )
    return _history(use_case, pl.concat(parts), names)


def _abrupt(month: int, one: Array, other: Array) -> Array:
    return one if month < 8 else other if month < 16 else (one - other) / 2**0.5


def _gradual(month: int, one: Array, other: Array) -> Array:
    angle = np.pi / 2 * month / MONTHS
    return np.cos(angle) * one + np.sin(angle) * other


def _recurring(month: int, one: Array, other: Array) -> Array:
    return other if month // 6 % 2 else one


def _still(month: int, one: Array, other: Array) -> Array:
    return one


if __name__ == "__main__":
    main()
