"""The lake's own tables: what Perennial remembers of each use case, and the schema of each.

All timestamps are UTC microseconds. `partition` names the partition of event time; `recorded_at` is processing time.
Tables of raw rows, features and examples take their schema from the data; these are fixed.
"""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field("partition", pa.string()), *(pa.field(name, kind) for name, kind in fields.items())])


#: Rows that broke a row-level expectation: their whole raw content and why.
QUARANTINE = _schema(table=pa.string(), row=pa.string(), reasons=pa.string(), suite=pa.string())

#: One row a raw or feature table of a partition: what came in.
BATCHES = _schema(
    table=pa.string(),
    rows=pa.int64(),
    quarantined=pa.int64(),
    suite=pa.string(),
    code_version=pa.string(),
)

#: One row a (partition, model version, role, metric). Role is `champion`, or `first`: the stale first model.
METRICS = _schema(
    model_version=pa.int64(),
    role=pa.string(),
    metric=pa.string(),
    value=pa.float64(),
    rows=pa.int64(),
    labelled=pa.int64(),
    recorded_at=TIMESTAMP,
)

#: One row a (partition, model version, column): the distance to the training profile and what it was held against.
DRIFT = _schema(
    model_version=pa.int64(),
    column=pa.string(),
    method=pa.string(),
    distance=pa.float64(),
    reference=pa.float64(),
    ratio=pa.float64(),
    importance=pa.float64(),
    drifted=pa.bool_(),
    recorded_at=TIMESTAMP,
)

#: A monitor's decision on one partition. `verdict` is healthy, warning, alarm or no-champion; `evidence` is JSON.
VERDICTS = _schema(
    model_version=pa.int64(),
    verdict=pa.string(),
    reason=pa.string(),
    drift_score=pa.float64(),
    drifted_columns=pa.int64(),
    label_coverage=pa.float64(),
    evidence=pa.string(),
    report=pa.string(),
    recorded_at=TIMESTAMP,
)

#: A wish for retraining; `request_id` is unique per (partition, reason). `made_by` is the run that made it.
REQUESTS = _schema(
    request_id=pa.string(),
    reason=pa.string(),
    evidence=pa.string(),
    made_by=pa.string(),
    recorded_at=TIMESTAMP,
)

#: Every promotion and rejection. `effective_from` is event time: the version may predict from there on.
LEDGER = _schema(
    event_id=pa.string(),
    action=pa.string(),
    model_version=pa.int64(),
    previous_version=pa.int64(),
    model_run=pa.string(),
    effective_from=TIMESTAMP,
    actor=pa.string(),
    reason=pa.string(),
    evidence=pa.string(),
    recorded_at=TIMESTAMP,
)

#: One row a (partition, feature view), and another when the result changes: what is online held against the lake.
#: `until` is the end of what was materialized, `newest` the newest event time served; `evidence` is JSON.
PARITY = _schema(
    view=pa.string(),
    keys=pa.int64(),
    differences=pa.int64(),
    until=TIMESTAMP,
    newest=TIMESTAMP,
    stale=pa.bool_(),
    evidence=pa.string(),
    recorded_at=TIMESTAMP,
)
