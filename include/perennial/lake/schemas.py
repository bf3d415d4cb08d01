"""The lake's own tables: what Perennial remembers of each use case, and the schema of each.

All timestamps are UTC microseconds. `partition` names the partition of event time; `recorded_at` is processing time.
Tables of raw rows, features and examples take their schema from the data; these are fixed. Each says itself what it and
its columns mean, under `doc`, as Iceberg calls it; docs/tables.md is written from that.
"""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
_STRING, _LONG, _DOUBLE, _BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_DOC = b"doc"
_CODE_VERSION = (_STRING, "Git commit of the code, `+dirty` if the code differed from it.")
_RECORDED_AT = (TIMESTAMP, "Processing time of the row.")
_SUITE = (_STRING, "Digest of the suite that judged.")


def _fields(**columns: tuple[pa.DataType, str]) -> list[pa.Field]:
    """Columns from their types and meanings."""
    return [pa.field(name, kind, metadata={_DOC: meaning.encode()}) for name, (kind, meaning) in columns.items()]


def _schema(about: str, /, **columns: tuple[pa.DataType, str]) -> pa.Schema:
    """The schema of a table, whose rows are, and are written when, `about` says."""
    return pa.schema([pa.field("partition", _STRING), *_fields(**columns)], metadata={_DOC: about.encode()})


def meaning(described: pa.Schema | pa.Field) -> str:
    """What a table holds, or a column of it; empty where nothing is said."""
    return str((described.metadata or {}).get(_DOC, b"").decode())


#: What a row of `predictions` adds to its example's columns and features.
PREDICTION = pa.schema(
    _fields(
        prediction=(_DOUBLE, "Probability of 1, or the predicted value."),
        model_version=(_LONG, "The version in the registry that made it."),
        model_run=(_STRING, "That version's MLflow run."),
        lake_snapshots=(_STRING, "JSON: feature table -> snapshot it was read from."),
        code_version=_CODE_VERSION,
        predicted_at=(TIMESTAMP, "Processing time."),
    )
)

QUARANTINE = _schema(
    "A raw row that broke a critical row-level expectation. Appended once a refusal, which is what one judgement of a"
    " table refused, named by the digest of its content. The row's raw content lies in an Arrow file in the warehouse,"
    " beside the tables: `quarantine.content(use_case, content)`.",
    table=(_STRING, "Raw table."),
    refusal=(_STRING, "Digest of what was refused together, and why; null in rows from before content was kept."),
    row_id=(_STRING, "What the row is known by: a digest of it; equal rows are numbered."),
    content=(_STRING, "The file that holds its content."),
    position=(_LONG, "Where in that file."),
    row=(_STRING, "JSON: the row, for people."),
    reasons=(_STRING, "The expectations it broke, separated by `; `."),
    suite=_SUITE,
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

REFUSED_BATCHES = _schema(
    "A batch that was refused as a whole. Appended once a content, until another batch has entered.",
    table=(_STRING, "Raw table."),
    batch=(_STRING, "What the batch is known by."),
    content=(_STRING, "The file that holds it."),
    rows=(_LONG, "Its rows."),
    reasons=(
        _STRING,
        "JSON list of what it broke, each of which a person may accept: batch-level expectations, `min_rows`,"
        " `max_quarantined`.",
    ),
    message=(_STRING, "The same in sentences."),
    suite=_SUITE,
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

QUARANTINE_DECISIONS = _schema(
    "What was decided about a quarantined row or batch. Appended; of an item the highest `number` holds.",
    table=(_STRING, "Raw table."),
    item=(_STRING, "The `row_id` or `batch`."),
    number=(_LONG, "Of the item's decisions, from 1 on."),
    action=(
        _STRING,
        "`released` or `discarded` by a person; by ingestion: `superseded` by another row or batch in its place,"
        " `refused` because it still breaks something.",
    ),
    accepted=(_STRING, "JSON list of what a person accepted that it breaks."),
    content=(_STRING, "The file that holds its content."),
    position=(_LONG, "Where in that file; null for a batch."),
    suite=(_STRING, "Digest of the suite of the refusal."),
    actor=(_STRING, "Who."),
    reason=(_STRING, "Why."),
    recorded_at=_RECORDED_AT,
)

BATCHES = _schema(
    "A raw table of a partition: what came in. Replaced with its partition.",
    table=(_STRING, "Raw table."),
    rows=(_LONG, "Rows that entered the lake."),
    quarantined=(_LONG, "Rows that were refused of what came in last."),
    released=(_LONG, "Of those that entered, rows released from quarantine."),
    suite=_SUITE,
    refusal=(_STRING, "What was refused of it, in `quarantine`; null if nothing was."),
    code_version=_CODE_VERSION,
)

COMPUTATIONS = _schema(
    "A feature table, or `examples`, of a partition: what computed it. Replaced with its partition, after the tables"
    " themselves.",
    table=(_STRING, "The table."),
    rows=(_LONG, "Its rows in the partition."),
    transform=(_STRING, "Fingerprint of the code that computed it: [change_features.md](change_features.md)."),
)

VALIDATIONS = _schema(
    "What a suite said of a table in one run. Appended once an equal result.",
    table=(_STRING, "Raw or feature table, or `examples`."),
    validation=(_STRING, "Digest of all results of the task's run; names its page."),
    success=(_BOOLEAN, "Every expectation passed, of whatever severity."),
    rows=(_LONG, "Rows that were judged."),
    suite=_SUITE,
    result=(_STRING, "JSON: Great Expectations' own result."),
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

METRICS = _schema(
    "One row a (partition, model version, role, metric). Appended; all of them anew when labels have matured or were"
    " corrected.",
    model_version=(_LONG, "The version."),
    role=(
        _STRING,
        "`champion`, or `first`: the stale first model on the same rows, while it can be asked.",
    ),
    metric=(_STRING, "By its scikit-learn name."),
    value=(_DOUBLE, "Its value on the labelled rows."),
    rows=(_LONG, "Predictions of the version."),
    labelled=(_LONG, "Those with a label, which it was computed on."),
    recorded_at=_RECORDED_AT,
)

DRIFT = _schema(
    "One row a (partition, model version, column): how far it is from the version's training profile. Appended; all of"
    " them anew when the rows are others.",
    model_version=(_LONG, "The version whose profile it is held against."),
    column=(_STRING, "A feature, or `prediction`."),
    method=(_STRING, "The distance of its values: `wasserstein`, `jensenshannon`, `hellinger` or `psi`."),
    distance=(_DOUBLE, "How far what moved most about it (`why`) moved from the training profile."),
    reference=(_DOUBLE, "The most that it moved between windows of the training data as large as this partition."),
    ratio=(_DOUBLE, "`distance` / `reference`."),
    importance=(_DOUBLE, "The column's share in the model's skill, 0 to 1."),
    drifted=(_BOOLEAN, "The ratio is above the policy's."),
    why=(_STRING, "What about it moved most: `values`, `nulls`, `scale`, `new` or `vanished`."),
    told=(_STRING, "The same in words."),
    rows=(_LONG, "The partition's rows, all of which were counted."),
    recorded_at=_RECORDED_AT,
)

VERDICTS = _schema(
    "A monitor's decision on a partition. Appended; a new row when labels have matured or were corrected, or anything"
    " else that it rests on is another. The last row of a partition holds.",
    model_version=(_LONG, "The version that scored it; null without a champion."),
    verdict=(_STRING, "`healthy`, `warning`, `alarm` or `no-champion`."),
    reason=(
        _STRING,
        "Why retraining is asked for: `first-model`, `performance`, `drift`, `prediction-drift`, `age`; else empty.",
    ),
    drift_score=(_DOUBLE, "The drifted columns' share in the champion's skill, 0 to 1."),
    drifted_columns=(_LONG, "How many columns drifted, `prediction` among them."),
    label_coverage=(_DOUBLE, "Share of the predictions that have a label, 0 to 1."),
    labels=(_LONG, "Examples of the partition that have a label."),
    labels_digest=(_STRING, "Digest of which example has which label; null in rows from before it was kept."),
    explanation=(_STRING, "The verdict in a sentence."),
    evidence=(_STRING, "JSON: the numbers it rests on."),
    report=(_STRING, "Address of the MLflow run that holds Evidently's page."),
    recorded_at=_RECORDED_AT,
)

REQUESTS = _schema(
    "A wish for retraining. Appended once.",
    request_id=(_STRING, "`<partition>:<reason>`: unique."),
    reason=(_STRING, "The verdict's, or `schedule`."),
    evidence=(_STRING, "JSON: the verdict's."),
    made_by=(_STRING, "The DAG run that made it."),
    recorded_at=_RECORDED_AT,
)

LEDGER = _schema(
    "A decision of the gate, a rollback, or the end of a pause of automatic promotion. Appended once. `partition` is"
    " the last one of the training window; of a rollback and a resumption the last one that was scored.",
    event_id=(
        _STRING,
        "`gate:<model version>`: a version is decided on once; `rollback:<DAG run>`, `resume:<DAG run>`.",
    ),
    action=(_STRING, "`promoted`, `rejected`, `rolled-back` or `resumed`."),
    model_version=(_LONG, "The challenger, or the version that serves again; of `resumed` the one serving."),
    previous_version=(_LONG, "The champion until then; null for the first."),
    model_run=(_STRING, "That version's MLflow run."),
    effective_from=(TIMESTAMP, "Event time: it may predict partitions that start here or later."),
    actor=(_STRING, "`gate`, or the person who was asked or who rolled back."),
    reason=(_STRING, "One sentence."),
    evidence=(_STRING, "JSON: the whole decision, or `pause_until` of a rollback (null: until resumed)."),
    recorded_at=(TIMESTAMP, "Processing time, later than that of every entry before it."),
)

PARITY = _schema(
    "One row a (partition, feature view), and another when the result changes: what is online held against the lake.",
    view=(_STRING, "The feature view."),
    keys=(_LONG, "How many entities were compared."),
    differences=(_LONG, "Values that are not what the lake gives for the same moment."),
    until=(TIMESTAMP, "The end of what was online then, event time."),
    newest=(TIMESTAMP, "The newest event time served."),
    stale=(_BOOLEAN, "`newest` is farther from the end than the view promises."),
    evidence=(_STRING, "JSON: the first differences, each with key, feature, both values, both times."),
    recorded_at=_RECORDED_AT,
)

#: Every table whose schema is fixed, by its name in the lake, in the order in which a partition fills them.
TABLES = {
    "validations": VALIDATIONS,
    "quarantine": QUARANTINE,
    "refused_batches": REFUSED_BATCHES,
    "quarantine_decisions": QUARANTINE_DECISIONS,
    "batches": BATCHES,
    "computations": COMPUTATIONS,
    "parity": PARITY,
    "metrics": METRICS,
    "drift": DRIFT,
    "verdicts": VERDICTS,
    "requests": REQUESTS,
    "ledger": LEDGER,
}
