"""The limit that Perennial is measured against: the same computing in one process, with no orchestration.

No Airflow, MLflow, Feast, Iceberg or Great Expectations: CSV by Polars, the use case's own transforms on DuckDB,
Parquet files, an as-of join by Polars, the use case's own estimator, distances by SciPy. What remains is the work.

    python benchmarks/bare.py            # a month, a retraining on nine months, one that passes, the whole replay
    python benchmarks/bare.py month      # only that one
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import polars as pl
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from perennial import Partition, UseCase, discovery
from use_cases.flights import source, transforms
from use_cases.flights.model import build
from use_cases.flights.use_case import FlightsParams

#: The views' lifetimes, as in `feature_repo/flights.py`.
TTL = {
    "origin_weather": timedelta(hours=12),
    "carrier_lateness": timedelta(days=7),
    "origin_lateness": timedelta(days=1),
    "origin_departures": timedelta(hours=12),
    "route_lateness": timedelta(days=28),
    "plane_facts": timedelta(days=62),
}


@dataclass(frozen=True)
class Timed:
    """What came out, and how many seconds it took."""

    seconds: float
    result: Any


@dataclass(frozen=True)
class Champion:
    """A fitted model with what is needed to watch it.

    Attributes:
        promised: AUC on its own holdout.
        profile: Column -> the values it was trained on.
        reference: Column -> the largest distance of one training window from the profile.
        importance: Column -> share of the AUC lost when it is shuffled.
    """

    trained_on: str
    model: Pipeline
    promised: float
    profile: pl.DataFrame
    reference: Mapping[str, float] = field(repr=False)
    importance: Mapping[str, float] = field(repr=False)


def month(use_case: UseCase, partition: Partition, folder: Path) -> Timed:
    """Read one partition's raw batch, compute its feature tables, store all; the result is the number of rows."""
    started = time.perf_counter()
    rows = 0
    for table in use_case.raw:
        batch = pl.DataFrame(getattr(source, table.name)(partition))
        rows += batch.height
        _write(batch, folder, table.name, partition)
    engine = ibis.duckdb.connect()
    tables = [(table.name, table.inputs, table.lookback) for table in use_case.features]
    for name, needed, lookback in [*tables, ("examples", use_case.examples.inputs, timedelta(0))]:
        since = partition.start - lookback
        inputs = {raw: ibis.memtable(_input(use_case, raw, partition, since, folder)) for raw in needed}
        computed = pl.DataFrame(engine.to_pyarrow(getattr(transforms, name)(**inputs)))
        if name != "examples":
            moment = pl.col("event_timestamp")
            computed = computed.filter(moment.is_between(partition.start, partition.end, closed="left"))
        _write(computed, folder, name, partition)
    engine.disconnect()
    return Timed(time.perf_counter() - started, rows)


def retraining(use_case: UseCase, last: Partition, folder: Path) -> Timed:
    """Join, fit and judge on everything up to `last`; the result is the AUC on the holdout."""
    started = time.perf_counter()
    champion = train(use_case, last, folder)[0]
    return Timed(time.perf_counter() - started, champion.promised)


def promotion(use_case: UseCase, last: Partition, folder: Path) -> Timed:
    """A retraining whose model passes: then it is fitted again on the whole window; the result is as before."""
    started = time.perf_counter()
    champion, _ = train(use_case, last, folder)
    rows = joined(use_case, list(use_case.first.through(last)), folder)
    rows = rows.filter(pl.col("label").is_not_null(), pl.col("label_timestamp") <= last.end)
    build(FlightsParams()).fit(rows.select(_columns(use_case)).to_pandas(), rows["label"].to_numpy())
    return Timed(time.perf_counter() - started, champion.promised)


def replay(use_case: UseCase, folder: Path, report: Callable[[str], None] = print) -> Timed:
    """The whole year with the use case's policy; the result is the mean AUC of the live champion and of the first."""
    started = time.perf_counter()
    partitions = list(use_case.first.through(use_case.partition("2013-12")))
    champion = first = None
    requested = -99
    scores: list[tuple[float, float]] = []
    for number, partition in enumerate(partitions):
        month(use_case, partition, folder)
        line, reason = f"{partition}", ""
        if champion is None or first is None:
            reason = "first-model" if number + 1 >= use_case.retraining.initial_partitions else ""
        else:
            rows = joined(use_case, [partition], folder)
            labelled = rows.filter(pl.col("label").is_not_null())
            lived, stale = (_auc(use_case, judged.model, labelled) for judged in (champion, first))
            scores.append((lived, stale))
            drifted, score = _drift(use_case, champion, rows)
            if use_case.drift.performance_drop and champion.promised - lived > use_case.drift.performance_drop:
                reason = "performance"
            elif score >= use_case.drift.alarm:
                reason = "drift"
            line += (
                f"  {champion.trained_on}  AUC {lived:.4f}  stale {stale:.4f}  drift {score:.2f} ({drifted} columns)"
            )
        if reason and number - requested > use_case.retraining.cooldown:
            requested = number
            challenger, holdout = train(use_case, partition, folder)
            promoted = champion is None or _passes(use_case, challenger, champion, holdout)
            champion = challenger if promoted else champion
            first = first or champion
            line += f"  {reason}: {'promoted' if promoted else 'rejected'}"
        report(line)
    return Timed(time.perf_counter() - started, tuple(np.mean(scores, axis=0)))


def joined(use_case: UseCase, partitions: list[Partition], folder: Path) -> pl.DataFrame:
    """The partitions' examples with the features known at each one's time, in order of time."""
    rows = _read(folder, "examples", partitions).sort("event_timestamp", "flight_id")
    since = [partitions[0].previous, *partitions]
    for table in use_case.features:
        key = table.key[0]
        features = (
            _read(folder, table.name, since).sort("event_timestamp").with_columns(known=pl.col("event_timestamp"))
        )
        rows = rows.join_asof(
            features, on="event_timestamp", by=key, tolerance=TTL[table.name], check_sortedness=False
        ).drop("known")
    return rows


def train(use_case: UseCase, last: Partition, folder: Path) -> tuple[Champion, pl.DataFrame]:
    """A model of everything up to `last`, and the holdout it was judged on."""
    rows = joined(use_case, list(use_case.first.through(last)), folder)
    rows = rows.filter(pl.col("label").is_not_null(), pl.col("label_timestamp") <= last.end)
    is_holdout = pl.col("event_timestamp") >= use_case.holdout_start(use_case.first.start, last.end)
    fit, holdout = rows.filter(~is_holdout), rows.filter(is_holdout)
    columns = _columns(use_case)
    model = build(FlightsParams()).fit(fit.select(columns).to_pandas(), fit["label"].to_numpy())
    sample = holdout.sample(min(5_000, holdout.height), seed=0)
    shuffled, truth = sample.select(columns).to_pandas(), sample["label"].to_numpy()
    lost = permutation_importance(model, shuffled, truth, scoring="roc_auc", n_repeats=1, random_state=0)
    share = lost.importances_mean.clip(min=0)
    profile = fit.select("event_timestamp", *columns)
    reference = dict.fromkeys(columns, 0.01)
    for window in _windows(profile):
        for column in columns:
            reference[column] = max(reference[column], _distance(profile[column], window[column]))
    importance = dict(zip(columns, share / (share.sum() or 1.0), strict=True))
    champion = Champion(last.key, model, _auc(use_case, model, holdout), profile, reference, importance)
    return champion, holdout


def _columns(use_case: UseCase) -> list[str]:
    """What the model sees: facts that come with the request, then every feature."""
    weather = ("temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    spans = {"carrier": ("1d", "7d"), "origin": ("3h", "1d"), "departures": ("2h",), "route": ("7d", "28d")}
    return [
        *use_case.examples.request_features,
        *(f"weather_{name}" for name in weather),
        *(
            f"{who}_{measure}_{span}"
            for who, each in spans.items()
            for span in each
            for measure in ("late_rate", "mean_delay")
        ),
        *(f"plane_{name}" for name in ("year", "seats", "engines")),
    ]


def _auc(use_case: UseCase, model: Pipeline, rows: pl.DataFrame) -> float:
    probability = model.predict_proba(rows.select(_columns(use_case)).to_pandas())[:, 1]
    return float(roc_auc_score(rows["label"].to_numpy(), probability))


def _passes(use_case: UseCase, challenger: Champion, champion: Champion, holdout: pl.DataFrame) -> bool:
    """The gate: better by more than the margin, and not worse than the tolerance at any origin."""
    slices = [holdout, *(part for _, part in holdout.group_by("origin"))]
    gains = [_auc(use_case, challenger.model, rows) - _auc(use_case, champion.model, rows) for rows in slices]
    return gains[0] > use_case.gate.margin and min(gains[1:]) >= -use_case.gate.slice_tolerance


def _drift(use_case: UseCase, champion: Champion, rows: pl.DataFrame) -> tuple[int, float]:
    """How many columns drifted, and their share in the champion's skill."""
    drifted = [
        column
        for column in _columns(use_case)
        if _distance(champion.profile[column], rows[column]) > use_case.drift.ratio * champion.reference[column]
    ]
    return len(drifted), float(sum(champion.importance[column] for column in drifted))


def _windows(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """One window a month, or four equal spans where there are fewer months."""
    months = [part for _, part in rows.group_by(pl.col("event_timestamp").dt.truncate("1mo"))]
    if len(months) >= 4:
        return months
    time: pl.Series = rows["event_timestamp"].dt.epoch()
    low, high = int(time.min()), int(time.max())  # type: ignore[arg-type]
    span = ((time - low) * 4 // (high - low + 1)).alias("span")
    return [part for _, part in rows.with_columns(span).group_by("span")]


def _distance(reference: pl.Series, current: pl.Series) -> float:
    """Normed Wasserstein distance of numbers, Jensen-Shannon distance of categories."""
    reference, current = reference.drop_nulls(), current.drop_nulls()
    if not reference.len() or not current.len():
        return 0.0
    if reference.dtype.is_numeric():
        quantiles = (np.arange(4_000) + 0.5) / 4_000
        ordered = [values.sort().to_numpy()[(quantiles * values.len()).astype(int)] for values in (reference, current)]
        return float(wasserstein_distance(*ordered) / max(np.std(ordered[0]), 0.001))
    shares = reference.value_counts().join(current.value_counts(), on=reference.name, how="full").fill_null(0)
    return float(jensenshannon(shares["count"].to_numpy(), shares["count_right"].to_numpy(), base=2))


def _input(use_case: UseCase, raw: str, partition: Partition, since: datetime, folder: Path) -> Any:
    """Raw rows from `since` to the partition's end; of a snapshot of facts, this partition's."""
    time = use_case.raw_table(raw).time
    if time is None:
        return _read(folder, raw, [partition]).to_arrow()
    needed = list(max(use_case.first, partition.cadence.at(since)).through(partition))
    return _read(folder, raw, needed).filter(pl.col(time) >= since).to_arrow()


def _write(rows: pl.DataFrame, folder: Path, table: str, partition: Partition) -> None:
    rows.write_parquet(folder / f"{table}-{partition}.parquet")


def _read(folder: Path, table: str, partitions: list[Partition]) -> pl.DataFrame:
    files = [folder / f"{table}-{partition}.parquet" for partition in partitions]
    return pl.read_parquet([file for file in files if file.exists()])


def main(which: str = "all", last: str = "2013-09") -> None:
    """Run all measurements, or the one named; features and training set reach up to partition `last`."""
    use_case = discovery.load("flights")
    with tempfile.TemporaryDirectory(prefix="bare-") as name:
        folder = Path(name)
        newest = use_case.partition(last)
        for partition in use_case.first.through(newest):
            timed = month(use_case, partition, folder)
        if which in ("all", "month"):
            print(f"month       {timed.seconds:7.2f} s  {timed.result} raw rows of {newest}")
        if which in ("all", "retraining"):
            timed = retraining(use_case, newest, folder)
            print(f"retraining  {timed.seconds:7.2f} s  up to {newest}, holdout AUC {timed.result:.4f}")
        if which in ("all", "promotion"):
            timed = promotion(use_case, newest, folder)
            print(f"promotion   {timed.seconds:7.2f} s  up to {newest}, fitted again on the whole window")
    if which in ("all", "replay"):
        with tempfile.TemporaryDirectory(prefix="bare-") as name:
            timed = replay(use_case, Path(name))
            print(
                f"replay      {timed.seconds:7.2f} s  mean AUC {timed.result[0]:.4f}, first model {timed.result[1]:.4f}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
