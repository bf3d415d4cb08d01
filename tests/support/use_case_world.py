"""Records of a use case as the lake would hold them, for pages that are tested without a lake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from perennial import dag_names
from perennial.lake import schemas
from perennial.reporting.partition_status import Records
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from perennial.pages.use_case import Activity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
#: Every table of records by its name in the lake.
SCHEMAS = {name.lower(): held for name, held in vars(schemas).items() if isinstance(held, pa.Schema)}
EVIL = "<script>alert('x')</script>"


class World:
    """A use case's records, added one by one; each is recorded a minute after the one before."""

    def __init__(self, use_case: UseCase) -> None:
        self.use_case = use_case
        self.rows: Records = {name: [] for name in SCHEMAS}
        self._clock = NOON

    def add(self, table: str, /, **values: Any) -> World:
        """A row; columns that are not given are null."""
        self._clock += timedelta(minutes=1)
        schema = SCHEMAS[table]
        assert set(values) <= set(schema.names), f"{table} has no {set(values) - set(schema.names)}"
        row = dict.fromkeys(schema.names) | {"recorded_at": self._clock} | values
        self.rows[table].append({name: row[name] for name in schema.names})
        return self

    def partition(self, key: str, version: int | None = 1, metric: float | None = 0.2, **verdict: Any) -> World:
        """A partition that went through the loop."""
        self.add("batches", partition=key, table=self.use_case.raw[0].name, rows=100, quarantined=2)
        fields = {"verdict": "healthy", "reason": "", "drifted_columns": 0, "explanation": "as usual"}
        fields |= {"evidence": "{}", "label_coverage": 0.9, "labels": 90} | verdict
        self.add("verdicts", partition=key, model_version=version, **fields)
        measured = {"metric": self.use_case.gate.metric, "recorded_at": self._clock}
        for role, value in (("champion", metric), ("first", 0.5)):
            if version and value is not None:
                self.add("metrics", partition=key, model_version=version, role=role, value=value, **measured)
        return self

    def drift(self, key: str, column: str, ratio: float = 0.5, importance: float = 0.1, **more: Any) -> World:
        """A column's drift in a partition."""
        fields = {"model_version": 1, "drifted": ratio > self.use_case.drift.ratio, "told": f"{column} moved"} | more
        return self.add("drift", partition=key, column=column, ratio=ratio, importance=importance, **fields)

    def decided(self, version: int, before: int | None, key: str, action: str = "promoted", **more: Any) -> World:
        """The gate's decision on a version."""
        evidence = more.pop("evidence", decision(version, before, key, promote=action == "promoted"))
        return self._entry(f"gate:{version}", action, version, before, key, {"reason": "better"} | more, evidence)

    def rolled_back(self, version: int, before: int, key: str, **more: Any) -> World:
        """A person's rollback, which pauses automatic promotion."""
        event = f"rollback:{self.use_case.name}.champion/manual__{key}"
        fields = {"actor": "ada", "reason": "wrong at night"} | more
        return self._entry(event, "rolled-back", version, before, key, fields, {"pause_until": None})

    def tried(self, version: int, before: int, key: str, share: float = 0.0, **more: Any) -> World:
        """A stage of a rollout of a version begins."""
        evidence = {"stage": {"share": share, "seconds": 86_400.0}, "decision": decision(version, before, key)}
        event = f"rollout:{version}:{share}"
        return self._entry(event, "rollout", version, before, key, {"reason": "a stage begins"} | more, evidence)

    def _entry(
        self, event: str, action: str, version: int, before: int | None, key: str, fields: dict, evidence: dict
    ) -> World:
        return self.add(
            "ledger",
            **{"actor": "gate", "event_id": event, "action": action, "model_version": version} | fields,
            previous_version=before,
            partition=key,
            model_run=f"run{version}",
            effective_from=self.use_case.cadence.partition(key).end,
            evidence=json.dumps(evidence),
        )


def decision(challenger: int, champion: int | None, key: str, *, promote: bool = True) -> dict[str, Any]:
    """What the gate says of a challenger, as the ledger keeps it and as its task returns it."""
    return {
        "promote": promote,
        "outcome": "promote" if promote else "reject",
        "reason": f"v{challenger} was judged",
        "challenger": challenger,
        "champion": champion,
        "partition": key,
        "effective_from": "2024-01-04T00:00:00Z",
        "rows": 96,
        "gained": 0.3,
        "interval": [0.1, 0.5],
        "confidence": 0.95,
        "rules": [
            {"name": "holdout rows", "value": 96, "threshold": 50, "passed": True},
            {"name": "rmse gained at least", "value": 0.1, "threshold": 0.25, "passed": False, "note": "near"},
        ],
        "not_judged": ["site=site-9 (3)"],
        "metrics": {
            "challenger": {"rmse": 0.2, "r2": 0.9, "calibration_error": 0.02},
            "rival": {"rmse": 0.5, "r2": 0.5, "calibration_error": 0.01},
        },
        "measured": {"latency_seconds": 0.0123, "rows_per_second": 130_000.0, "size_bytes": 1_500_000.0},
    }


def doing(use_case: UseCase, paused: Iterable[str] = (), **more: Any) -> Activity:
    """All DAGs are there, and none has run."""
    from perennial.pages.airflow_state import Pipeline
    from perennial.pages.use_case import Activity

    pipelines = {
        name: Pipeline(name, f"{use_case.name}.{name}", known=True, paused=name in set(paused))
        for name in dag_names.ALL
    }
    return Activity(pipelines, **more)
