"""The lake's own tables: what Perennial remembers of each use case, and the schema of each.

All timestamps are UTC microseconds. `partition` names the partition of event time; `recorded_at` is processing time.
Tables of raw rows, features and examples take their schema from the data; these are fixed.
"""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field("partition", pa.string()), *(pa.field(name, kind) for name, kind in fields.items())])


#: Rows refused by a row-level expectation. A refusal is what one judgement of a table refused, named by the digest of
#: its content; `row` is for people, the raw content lies in the file `content`, at `position`.
QUARANTINE = _schema(
    table=pa.string(),
    refusal=pa.string(),
    row_id=pa.string(),
    content=pa.string(),
    position=pa.int64(),
    row=pa.string(),
    reasons=pa.string(),
    suite=pa.string(),
    code_version=pa.string(),
    recorded_at=TIMESTAMP,
)

#: A batch refused as a whole, once per content as long as none was accepted in between. `content` names its file,
#: `reasons` is a JSON list of what it broke, each of which a person may accept.
REFUSED_BATCHES = _schema(
    table=pa.string(),
    batch=pa.string(),
    content=pa.string(),
    rows=pa.int64(),
    reasons=pa.string(),
    message=pa.string(),
    suite=pa.string(),
    code_version=pa.string(),
    recorded_at=TIMESTAMP,
)

#: What was decided about a quarantined row (`item` is its `row_id`) or batch (`batch`): `released` or `discarded` by a
#: person; `superseded` or `refused` by the ingestion that found another one in its place, or that it still breaks
#: something. The one of the highest `number` holds. `accepted` is a JSON list; `position` is null for a batch.
QUARANTINE_DECISIONS = _schema(
    table=pa.string(),
    item=pa.string(),
    number=pa.int64(),
    action=pa.string(),
    accepted=pa.string(),
    content=pa.string(),
    position=pa.int64(),
    suite=pa.string(),
    actor=pa.string(),
    reason=pa.string(),
    recorded_at=TIMESTAMP,
)

#: One row a raw or feature table of a partition: what came in. `refusal` names what was refused of it.
BATCHES = _schema(
    table=pa.string(),
    rows=pa.int64(),
    quarantined=pa.int64(),
    released=pa.int64(),
    suite=pa.string(),
    refusal=pa.string(),
    code_version=pa.string(),
)

#: One row a feature table, or `examples`, of a partition: the fingerprint of the transform that it was computed by.
COMPUTATIONS = _schema(
    table=pa.string(),
    rows=pa.int64(),
    transform=pa.string(),
)

#: What a suite said of a table, as Great Expectations tells it (`result` is its JSON). `validation` is the digest of
#: all results of one task's run on a partition.
VALIDATIONS = _schema(
    table=pa.string(),
    validation=pa.string(),
    success=pa.bool_(),
    rows=pa.int64(),
    suite=pa.string(),
    result=pa.string(),
    code_version=pa.string(),
    recorded_at=TIMESTAMP,
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
#: `why` names what about the column moved most, `told` says it in words.
DRIFT = _schema(
    model_version=pa.int64(),
    column=pa.string(),
    method=pa.string(),
    distance=pa.float64(),
    reference=pa.float64(),
    ratio=pa.float64(),
    importance=pa.float64(),
    drifted=pa.bool_(),
    why=pa.string(),
    told=pa.string(),
    rows=pa.int64(),
    recorded_at=TIMESTAMP,
)

#: A monitor's decision on one partition, and another when more of its labels are in. `verdict` is healthy, warning,
#: alarm or no-champion; `labels` counts the partition's labelled examples; `explanation` is for people, `evidence` is
#: JSON.
VERDICTS = _schema(
    model_version=pa.int64(),
    verdict=pa.string(),
    reason=pa.string(),
    drift_score=pa.float64(),
    drifted_columns=pa.int64(),
    label_coverage=pa.float64(),
    labels=pa.int64(),
    explanation=pa.string(),
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

#: Every promotion, rejection, rollback and resumption. `effective_from` is event time: the version may predict from
#: there on.
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
