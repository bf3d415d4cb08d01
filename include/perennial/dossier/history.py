"""What became of a version: decisions and who took them, when it served, how it performed, and what went wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from perennial import lake
from perennial.alerts.incidents import OPENED
from perennial.dossier.documents import Training
from perennial.dossier.records import Records, Row
from perennial.registry import deployments, ledger, mlflow_artifacts
from perennial.registry.ledger import Entry


@dataclass(frozen=True)
class History:
    """What the records say of a version after its training.

    Attributes:
        entries: Of the ledger, those about it, its refit, or what was evaluated in its place; oldest first.
        decided: The decision on it; None: there is none.
        served: Its deployments, in both times.
        requests: The requests for retraining that it was trained for.
        metrics, drift, verdicts: Rows of these tables about it, oldest first.
        backtests: Rows of that table of the partitions that it scored.
        incidents: Events of the incidents that were opened while it served, or about a partition that it scored.
    """

    entries: Sequence[Entry]
    decided: Entry | None
    served: Sequence[deployments.DeploymentPeriod]
    requests: Sequence[Row]
    metrics: Sequence[Row]
    drift: Sequence[Row]
    verdicts: Sequence[Row]
    backtests: Sequence[Row]
    incidents: Sequence[Row]

    def documents(self) -> dict[str, Any]:
        """By name, those that hold something."""
        found = {
            "decisions/ledger.json": [vars(entry) for entry in self.entries],
            "decisions/deployments.json": [vars(period) for period in self.served],
            "decisions/requests.json": self.requests,
            "production/metrics.json": self.metrics,
            "production/drift.json": self.drift,
            "production/verdicts.json": self.verdicts,
            "production/backtests.json": self.backtests,
            "incidents/events.json": self.incidents,
        }
        return {name: rows for name, rows in found.items() if rows}

    @property
    def newest_verdicts(self) -> list[Row]:
        """Of each partition the verdict that counts, in order of the partitions."""
        newest = {row[lake.PARTITION]: row for row in self.verdicts}
        return [newest[key] for key in sorted(newest)]


def gather(records: Records, training: Training) -> History:
    """Read what became of a version.

    Args:
        records: Where what is missing is listed.
        training: Of the version.
    """
    tables, version = records.use_case.tables, training.version
    whole = records.ledger()
    mine = [entry for entry in whole if version in ledger.versions_of(entry)]
    for entry in mine:
        records.seen(vars(entry))
    plan = training.document(mlflow_artifacts.PLAN)
    wanted = set(plan.get("requests") or ())
    verdicts = _about(records, tables.verdicts, version)
    scored = {row[lake.PARTITION] for row in verdicts}
    served = [period for period in deployments.periods(whole) if period.version == version]
    found = History(
        entries=mine,
        decided=ledger.decision_on(mine, version),
        served=served,
        requests=records.rows(tables.requests, lambda row: row["request_id"] in wanted) if wanted else [],
        metrics=_about(records, tables.metrics, version),
        drift=_about(records, tables.drift, version),
        verdicts=verdicts,
        backtests=records.rows(tables.backtests, lambda row: row[lake.PARTITION] in scored) if scored else [],
        incidents=_incidents(records, served, scored),
    )
    _list_missing(records, found, version)
    return found


def _about(records: Records, table: str, version: int) -> list[Row]:
    return records.rows(table, lambda row: row["model_version"] == version)


def _incidents(records: Records, served: Sequence[deployments.DeploymentPeriod], scored: Collection[str]) -> list[Row]:
    """All events of each incident that belongs to the version."""
    rows = records.rows(records.use_case.tables.incidents, lambda row: True, is_seen=False)

    def is_its(opened: Row) -> bool:
        moment = opened[lake.RECORDED_AT]
        in_service = any(each.since <= moment and (each.until is None or moment < each.until) for each in served)
        return in_service or opened["subject"] in scored

    its = {row["incident"] for row in rows if row["event"] == OPENED and is_its(row)}
    return [records.seen(row) for row in rows if row["incident"] in its]


def _list_missing(records: Records, found: History, version: int) -> None:
    if found.decided is None:
        records.miss("decision of the gate", f"the ledger has none on v{version}")
    if not found.served:
        records.miss("service in production", f"by the ledger, v{version} was never the champion")
    elif not found.verdicts:
        records.miss("verdicts", f"no monitor has decided on a partition of v{version}")
