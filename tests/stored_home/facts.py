"""What the library reads from a home, as plain values: `write.py` records them, and the tests expect the same.

Only values, no sentences that the code makes when it is asked: those may be said in other words later.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from perennial import lake, lake_cache, quarantine
from perennial.drift import Profile
from perennial.feature_store import computations, repository
from perennial.gate import model_card
from perennial.lake.schemas import TABLES
from perennial.registry import deployments, ledger, retraining_requests, tracking
from perennial.reporting import overview, partition_status
from perennial.reproduce import recipe
from perennial.use_case import UseCase
from perennial.validation import results


def all_of(use_case: UseCase) -> dict[str, Any]:
    """Every fact by its name."""
    return {name: as_json(read(use_case)) for name, read in ALL.items()}


def as_json(value: Any) -> Any:
    """As JSON gives it back: times as ISO 8601, tuples as lists."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else sorted(value)


def status_of_partitions(use_case: UseCase) -> list[list[Any]]:
    return [
        [
            *(one.partition, one.rows, one.quarantined, one.waiting, one.champion),
            *(one.metric, one.first_model_metric, one.drifted_columns, one.verdict),
        ]
        for one in partition_status.status(use_case).partitions
    ]


def status_of_use_case(use_case: UseCase) -> list[Any]:
    state = partition_status.status(use_case)
    pause, rollback = state.pause, state.rollback
    assert pause is not None
    assert rollback is not None
    return [
        *(state.champion, state.waiting, pause.since, pause.until, pause.by, pause.reason),
        *(rollback.version, rollback.previous, rollback.at, rollback.by, rollback.reason),
    ]


def deployment_history(use_case: UseCase) -> list[list[Any]]:
    return [
        [
            *(one.version, one.since, one.until, one.effective_from, one.effective_until),
            *(one.how, one.by, one.reason, one.model_run),
        ]
        for one in deployments.history(use_case).served
    ]


def champion_of_partitions(use_case: UseCase) -> dict[str, int | None]:
    days = use_case.first.through(use_case.partition("2024-01-10"))
    champions = {day.key: ledger.champion_at(use_case, day.start) for day in days}
    return {key: entry.model_version if entry else None for key, entry in champions.items()}


def ledger_entries(use_case: UseCase) -> list[dict[str, Any]]:
    return [entry.as_json() for entry in ledger.entries(use_case)]


def overview_of_use_case(use_case: UseCase) -> list[Any]:
    (overviews,) = overview.overviews([use_case])
    performance, verdict = overviews.performance, overviews.latest_verdict
    batch, online = overviews.latest_batch, overviews.online_check
    assert overviews.deployment
    assert performance
    assert verdict
    assert batch
    assert online
    return [
        [overviews.deployment.version, overviews.deployment.since],
        [
            *(performance.partition, performance.version, performance.value),
            *(performance.expected, performance.improvement, performance.is_alarm),
        ],
        [verdict.partition, verdict.version, verdict.verdict, verdict.reason, verdict.coverage, verdict.drifted],
        [batch.partition, batch.quarantined],
        [online.newest, online.until, online.stale, online.differences],
    ]


def verdicts(use_case: UseCase) -> list[list[Any]]:
    rows = lake.records(f"{use_case.name}.verdicts")
    names = ("partition", "model_version", "verdict", "reason", "drift_score", "label_coverage", "explanation")
    return sorted([row[name] for name in names] for row in rows)


def quarantined_items(use_case: UseCase) -> list[list[Any]]:
    return [
        [
            *(item.partition, item.table, item.item, item.kind, item.reasons, item.rows, item.suite),
            [item.decision.actor, item.decision.reason, item.decision.accepted] if item.decision else None,
        ]
        for item in quarantine.list_items(use_case, states=None)
    ]


def quarantined_contents(use_case: UseCase) -> dict[str, list[Any]]:
    contents = {}
    for item in quarantine.list_items(use_case, states=None):
        rows = quarantine.content(use_case, item.content).to_pylist()
        contents[item.item] = rows[:2] if item.position is None else rows[item.position]
    return contents


def requests(use_case: UseCase) -> list[list[Any]]:
    names = ("partition", "request_id", "reason", "made_by", "recorded_at")
    return [[row[name] for name in names] for row in retraining_requests.load_all(use_case)]


def model_cards(use_case: UseCase) -> dict[str, list[str]]:
    forms = (model_card.MARKDOWN, model_card.HTML)
    return {
        str(version): [_digest(model_card.read(use_case, version, form)) for form in forms]
        for version in _versions(use_case)
    }


def drift_profiles(use_case: UseCase) -> dict[str, dict[str, list[Any]]]:
    profiles = {}
    for version in _versions(use_case):
        profile = Profile.load(use_case, tracking.run_of(use_case, version))
        profiles[str(version)] = {
            name: [
                *(column.bins.kind, profile.importance.get(name), int(column.counts.sum())),
                _digest(json.dumps([list(column.bins.edges), column.counts.tolist()])),
            ]
            for name, column in profile.columns.items()
        }
    return profiles


def training_sets(use_case: UseCase) -> dict[str, list[Any]]:
    sets = {}
    for version in _versions(use_case):
        data = recipe.read(use_case, version).data
        label = data.table["label"].to_pylist()
        sets[str(version)] = [data.digest, data.rows, data.start, data.holdout_start, data.end, sum(label)]
    return sets


def fingerprints_of_transforms(use_case: UseCase) -> dict[str, dict[str, str]]:
    return computations.recorded_transforms(use_case)


def validation_results(use_case: UseCase) -> list[list[Any]]:
    days = use_case.first.through(use_case.partition("2024-01-10"))
    rows = [row for day in days for row in results.of_partition(use_case, day)]
    return [
        [row["partition"], row["table"], row["success"], row["rows"], row["validation"], len(row["result"]["results"])]
        for row in rows
    ]


def features_online(use_case: UseCase) -> dict[str, Any]:
    keys, at = [{"site": "site-0", "meter": "meter-3"}], use_case.partition("2024-01-09").end
    return repository.online_features("energy", keys, event_timestamps=True, at=at)[0]


def predictions(use_case: UseCase) -> dict[str, list[Any]]:
    tables = {}
    for day in lake.partitions(f"{use_case.name}.predictions"):
        rows = lake.read(f"{use_case.name}.predictions", partitions=[day])
        assert rows is not None
        rows = rows.sort_by([(name, "ascending") for name in ("site", "meter", "read_at")])
        values = [rows[name].to_pylist() for name in ("prediction", "meter_last", "hour_sin")]
        tables[day] = [rows.num_rows, rows["model_version"].unique().to_pylist(), _digest(json.dumps(values))]
    return tables


def rows_of_records(use_case: UseCase) -> dict[str, list[Any]]:
    """Number and digest of the rows of each table of records."""
    counts = {}
    for name, rows in lake_cache.records([f"{use_case.name}.{name}" for name in TABLES]).items():
        described = sorted(json.dumps(as_json(row), sort_keys=True) for row in rows)
        counts[name] = [len(rows), _digest("\n".join(described))]
    return counts


#: Columns of sentences, times and addresses of pages with sentences.
_WORDS = {"told", "explanation", "report", "recorded_at"}
#: Columns, and what evidence says, that a later release measures for the first time, or by other baselines.
_NEWER = {"detectable", "cost", "reference", "ratio"}
_NEWER_EVIDENCE = {"detectable", "estimate", "estimate_left_out", "attribution", "prediction_drift"}


def without_words(table: str) -> set[str]:
    """The rows of a table as JSON, without their sentences, without what only later releases say, to nine digits."""
    rows = []
    for row in lake.records(table):
        kept = {name: value for name, value in row.items() if name not in _WORDS | _NEWER}
        if "evidence" in kept:
            evidence = json.loads(kept["evidence"])
            kept["evidence"] = {name: value for name, value in evidence.items() if name not in _NEWER_EVIDENCE}
        # Processors of one name may still round the last bit otherwise.
        rows.append({n: float(f"{value:.9g}") if isinstance(value, float) else value for n, value in kept.items()})
    return {json.dumps(as_json(row), sort_keys=True) for row in rows}


def _versions(use_case: UseCase) -> list[int]:
    return [entry.model_version for entry in ledger.decisions(use_case)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


#: The number and the digest of no rows.
NO_ROWS = [0, _digest("")]
ALL = {
    read.__name__: read
    for read in (
        status_of_partitions,
        status_of_use_case,
        deployment_history,
        champion_of_partitions,
        ledger_entries,
        overview_of_use_case,
        verdicts,
        quarantined_items,
        quarantined_contents,
        requests,
        model_cards,
        drift_profiles,
        training_sets,
        fingerprints_of_transforms,
        validation_results,
        features_online,
        predictions,
        rows_of_records,
    )
}
