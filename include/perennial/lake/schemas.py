"""The schemas of the lake's record tables: what Perennial records about each use case.

All timestamps are UTC microseconds. `partition` is the key of the partition of event time; `recorded_at` is processing
time. Tables of raw rows, features and examples take their schema from the data; these are fixed. The metadata key
`doc`, Iceberg's name for it, describes each table and column; docs/tables.md is generated from it.
"""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
_STRING, _LONG, _DOUBLE, _BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_DOC = b"doc"
_CODE_VERSION = (_STRING, "Git commit of the code, `+dirty` if the code differed from it.")
_RECORDED_AT = (TIMESTAMP, "Processing time of the row.")
_SUITE = (_STRING, "Digest of the suite of expectations.")


def _fields(**columns: tuple[pa.DataType, str]) -> list[pa.Field]:
    """Columns from their types and descriptions."""
    return [pa.field(name, kind, metadata={_DOC: meaning.encode()}) for name, (kind, meaning) in columns.items()]


def _schema(about: str, /, **columns: tuple[pa.DataType, str]) -> pa.Schema:
    """The schema of a table; `about` says what a row is and when it is written."""
    return pa.schema([pa.field("partition", _STRING), *_fields(**columns)], metadata={_DOC: about.encode()})


def meaning(described: pa.Schema | pa.Field) -> str:
    """The description of a table or column; empty if it has none."""
    return str((described.metadata or {}).get(_DOC, b"").decode())


#: What a row of `predictions` adds to its example's columns and features.
PREDICTION = pa.schema(
    _fields(
        prediction=(
            _DOUBLE,
            "Probability of 1, or the predicted value; of a multi-class use case "
            "the name of the most probable class, a string, beside `probability_<class>` (double) for each class.",
        ),
        model_version=(_LONG, "The model version in the registry that made it."),
        model_run=(_STRING, "That version's MLflow run."),
        lake_snapshots=(_STRING, "JSON: feature table -> snapshot that was read; null if it was served."),
        code_version=_CODE_VERSION,
        predicted_at=(TIMESTAMP, "Processing time."),
        served_as=(
            _STRING,
            "`champion`, `canary` or `ahead`: the prediction that was served and counts; `backfilled`: made when the"
            " partition had ended; null: the same, from before this was recorded.",
        ),
        prediction_id=(_STRING, "Its id in `served_predictions`; null: it was not served."),
        decision=(
            _BOOLEAN,
            "Whether to act, by the threshold that was recorded with the version; only where the use case declares"
            " `value`, else null or absent.",
        ),
        lower=(
            _DOUBLE,
            "Lower bound of the prediction interval, at most `prediction`; only where the use case declares `interval`,"
            " else null or absent. Null also of a version that was evaluated before.",
        ),
        upper=(_DOUBLE, "Its upper bound, at least `prediction`; likewise."),
    )
)

#: What a row of `served_predictions` adds to its example's key, the fields of its request and the model's inputs.
SERVED_PREDICTION = pa.schema(
    _fields(
        prediction_id=(_STRING, "The id that the caller was told: unique."),
        event_timestamp=(
            TIMESTAMP,
            "Event time: the moment that was predicted for, which is the request's `at`, else `answered_at`; of a"
            " prediction ahead when it was made.",
        ),
        answered_at=(TIMESTAMP, "Processing time of the prediction."),
        prediction=(_DOUBLE, "As in `predictions`; null if there is an `error`."),
        error=(_STRING, "The kind of error, where a valid request got no prediction; else null."),
        model_version=(_LONG, "The model version in the registry that made it."),
        model_run=(_STRING, "That version's MLflow run."),
        served_as=(
            _STRING,
            "`champion`, `canary`, `pinned` (the caller chose the version): answered to a caller; `shadow`: not;"
            " `ahead`: by a pipeline, before its moment.",
        ),
        shadow_of=(_STRING, "The `prediction_id` of the answer that a prediction in shadow accompanied; else null."),
        missing=(
            _STRING,
            "JSON: feature that the model saw as null -> `not-found` or `expired`, or `not-known` if one of"
            " these; null: none.",
        ),
        latency_ms=(_DOUBLE, "From the arrival of the request to its record; null: nobody waited."),
        caller=(_STRING, "`token:<name>` of a service token, `airflow:<user>` of a login; null: nobody."),
        prediction_lower=(_DOUBLE, "Lower bound of the prediction interval that was told; null: there was none."),
        prediction_upper=(_DOUBLE, "Its upper bound; null: there was none."),
    )
)

QUARANTINE = _schema(
    "A raw row that failed a critical row-level expectation. Appended once per refusal: the rows that one validation of"
    " a table quarantined, named by the digest of their content. The row's raw content is in an Arrow file in the"
    " warehouse, next to the tables: `quarantine.content(use_case, content)`.",
    table=(_STRING, "Raw table."),
    refusal=(
        _STRING,
        "Digest of the rows that were quarantined together, and why; null in rows from before content was kept.",
    ),
    row_id=(_STRING, "Identifier of the row: a digest of it; equal rows are numbered."),
    content=(_STRING, "The file with its content."),
    position=(_LONG, "Its position in that file."),
    row=(_STRING, "JSON: the row, for people."),
    reasons=(_STRING, "The expectations it failed, separated by `; `."),
    suite=_SUITE,
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

REFUSED_BATCHES = _schema(
    "A batch that was quarantined as a whole. Appended once per content, until another batch has been loaded.",
    table=(_STRING, "Raw table."),
    batch=(_STRING, "Identifier of the batch."),
    content=(_STRING, "The file with its content."),
    rows=(_LONG, "Number of its rows."),
    reasons=(
        _STRING,
        "JSON list of what it failed, each of which a person may accept: batch-level expectations, `min_rows`,"
        " `max_quarantined`.",
    ),
    message=(_STRING, "The reasons in sentences."),
    suite=_SUITE,
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

QUARANTINE_DECISIONS = _schema(
    "A decision on a quarantined row or batch. Appended; of an item the highest `number` counts.",
    table=(_STRING, "Raw table."),
    item=(_STRING, "The `row_id` or `batch`."),
    number=(_LONG, "Number of the decision on this item, from 1."),
    action=(
        _STRING,
        "`released` or `discarded` by a person; by ingestion: `superseded` by another row or batch in its place,"
        " `refused` because it still fails an expectation.",
    ),
    accepted=(_STRING, "JSON list of failures that a person accepted."),
    content=(_STRING, "The file with its content."),
    position=(_LONG, "Its position in that file; null for a batch."),
    suite=(_STRING, "Digest of the suite that it failed when it was quarantined."),
    actor=(_STRING, "Who decided."),
    reason=(_STRING, "Why."),
    recorded_at=_RECORDED_AT,
)

BATCHES = _schema(
    "The loaded batch of a raw table of a partition. Replaced with its partition.",
    table=(_STRING, "Raw table."),
    rows=(_LONG, "Rows loaded into the lake."),
    quarantined=(_LONG, "Rows quarantined in the last load."),
    released=(_LONG, "How many of the loaded rows were released from quarantine."),
    suite=_SUITE,
    refusal=(_STRING, "The `refusal` of its quarantined rows in `quarantine`; null if there are none."),
    code_version=_CODE_VERSION,
)

COMPUTATIONS = _schema(
    "What computed a feature table, or `examples`, of a partition. Replaced with its partition, after the tables"
    " themselves.",
    table=(_STRING, "The table."),
    rows=(_LONG, "Number of its rows in the partition."),
    transform=(_STRING, "Fingerprint of the code that computed it: [change_features.md](change_features.md)."),
)

VALIDATIONS = _schema(
    "The result of a suite for a table in one run. Appended unless an equal result is recorded.",
    table=(_STRING, "Raw or feature table, or `examples`."),
    validation=(_STRING, "Digest of all results of the task's run; part of its page's address."),
    success=(_BOOLEAN, "Whether all expectations passed, of any severity."),
    rows=(_LONG, "Number of validated rows."),
    suite=_SUITE,
    result=(_STRING, "JSON: Great Expectations' own result."),
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

METRICS = _schema(
    "One row per partition, model version, role and metric. Appended; all of them again when labels have matured or"
    " were corrected.",
    model_version=(_LONG, "The version that made the predictions."),
    role=(
        _STRING,
        "`champion`, `first`: the first model ever promoted, on the same rows, while it can still predict, or"
        " `baseline`: the baseline model, on the same rows, of the metric `value` only.",
    ),
    metric=(
        _STRING,
        "The metric's scikit-learn name; `value`: money per prediction; of a predicted quantile `pinball` and"
        " `at_or_below`, the share of labels at or below it; of the predictions with an interval"
        " `interval_coverage`, the share of labels within it, `interval_width` and `interval_score`, means.",
    ),
    value=(_DOUBLE, "Its value on the labelled rows."),
    rows=(_LONG, "Number of predictions of the version."),
    labelled=(_LONG, "Number of predictions with a label, on which the value was computed."),
    recorded_at=_RECORDED_AT,
)

BACKTESTS = _schema(
    "One row per partition and reference policy: what it would have reached there, by `perennial backtest`. Appended"
    " where it differs from the newest row.",
    policy=(
        _STRING,
        "`never`: the first model; `always`: the recipe refitted at every partition; `baseline`: the baseline model;"
        " `declared`: the policy of `use_case.py`, replayed.",
    ),
    metric=(_STRING, "The gate's metric."),
    value=(_DOUBLE, "Its value on the labelled rows."),
    labelled=(_LONG, "Number of rows with a label, on which the value was computed."),
    recorded_at=_RECORDED_AT,
)

DRIFT = _schema(
    "One row per partition, model version and column: how far it is from the version's training profile. Appended; all"
    " of them again when the partition's rows have changed.",
    model_version=(_LONG, "The version whose profile it is compared with."),
    column=(_STRING, "A feature, `prediction`, or `probability_<class>`."),
    method=(_STRING, "The distance between values: `wasserstein`, `jensenshannon`, `hellinger` or `psi`."),
    distance=(_DOUBLE, "Distance from the training profile, for the type of drift that is strongest (`why`)."),
    reference=(
        _DOUBLE,
        "Baseline: the largest such distance of windows of the training data of this partition's size.",
    ),
    ratio=(_DOUBLE, "`distance` / `reference`."),
    importance=(_DOUBLE, "The column's feature importance, 0 to 1."),
    drifted=(_BOOLEAN, "Whether the ratio is above the policy's."),
    cost=(
        _DOUBLE,
        "What the column's shift by itself cost of the gate's metric, positive if it is worse for it; null: it has not"
        " drifted, or it is not known.",
    ),
    why=(_STRING, "The strongest type of drift: `values`, `nulls`, `scale`, `new` or `vanished`."),
    told=(_STRING, "The type of drift in words."),
    rows=(_LONG, "Number of the partition's rows, all of which were counted."),
    detectable=(
        _DOUBLE,
        "Of numbers: the smallest shift, in standard deviations of training, that would have been found in nine of ten"
        " such partitions.",
    ),
    recorded_at=_RECORDED_AT,
)

VERDICTS = _schema(
    "A monitor's decision on a partition. Appended; a new row when labels have matured or were corrected, or anything"
    " else that it is based on has changed. The last row of a partition counts.",
    model_version=(_LONG, "The version that scored it; null without a champion."),
    verdict=(_STRING, "`healthy`, `warning`, `alarm` or `no-champion`."),
    reason=(
        _STRING,
        "Why retraining is requested: `first-model`, `performance`, `slice`, `interval-coverage`, `drift`,"
        " `prediction-drift`, `age`; else empty.",
    ),
    drift_score=(_DOUBLE, "Sum of the drifted columns' feature importance, 0 to 1."),
    drifted_columns=(_LONG, "How many columns drifted, including `prediction`."),
    label_coverage=(_DOUBLE, "Share of the predictions that have a label, 0 to 1."),
    labels=(_LONG, "Number of the partition's examples that have a label."),
    labels_digest=(_STRING, "Digest of the examples' labels; null in rows from before it was recorded."),
    explanation=(_STRING, "The verdict in a sentence."),
    evidence=(_STRING, "JSON: the numbers it is based on."),
    report=(_STRING, "Address of the MLflow run with Evidently's report."),
    recorded_at=_RECORDED_AT,
)

REQUESTS = _schema(
    "A request for retraining. Appended once.",
    request_id=(_STRING, "`<partition>:<reason>`: unique."),
    reason=(_STRING, "The verdict's, or `schedule`."),
    evidence=(_STRING, "JSON: the verdict's evidence."),
    made_by=(_STRING, "The DAG run that made the request."),
    recorded_at=_RECORDED_AT,
)

LEDGER = _schema(
    "A decision of the gate, the beginning of a stage of a rollout, a rollback, the end of a pause of automatic"
    " promotion, that a person puts a version in shadow or ends that, or that a refit has passed its probation."
    " Appended once. `partition` is the last one of the training window; for what a person does to"
    " versions, and for the end of a probation, the last one that was scored.",
    event_id=(
        _STRING,
        "`gate:<model version>`: a version is decided on once; `rollout:<model version>:<stage>`; `rollback:<DAG run>`,"
        " `resume:<DAG run>`, `shadow:<DAG run>`, `shadow-ended:<DAG run>`; `probation:<model version>`.",
    ),
    action=(
        _STRING,
        "`promoted`, `rejected`, `rollout`, `rolled-back`, `resumed`, `shadow`, `shadow-ended` or `confirmed`.",
    ),
    model_version=(
        _LONG,
        "The challenger; the version that serves again (`rolled-back`); the champion (`resumed`, `confirmed`); the one"
        " in shadow.",
    ),
    previous_version=(_LONG, "The champion until then; null for the first."),
    model_run=(_STRING, "The MLflow run of `model_version`."),
    effective_from=(TIMESTAMP, "Event time: it may predict partitions that start here or later."),
    actor=(_STRING, "`gate`, or the person who did it."),
    reason=(_STRING, "The reason in one sentence."),
    evidence=(
        _STRING,
        "JSON: the whole decision, for a rollout with its stage; the stage of a version in shadow; the comparison on"
        " probation; or `pause_until` of a rollback (null: until resumed).",
    ),
    recorded_at=(TIMESTAMP, "Processing time, later than that of every earlier entry."),
)

REFRESHES = _schema(
    "How far the partition under way is in the lake and online: one row per table, replaced by the next refresh of the"
    " partition. Only use cases with `refresh` have it.",
    table=(_STRING, "The raw or feature table."),
    since=(TIMESTAMP, "Event time: from here on the newest refresh fetched or computed the rows again."),
    until=(TIMESTAMP, "Event time, exclusive: so far the table holds the partition."),
    rows=(_LONG, "How many rows it fetched or computed."),
    new=(_LONG, "How many of them the lake did not hold before."),
    left_out=(_LONG, "Raw rows that cannot be read or break a critical expectation; the final run quarantines them."),
    snapshot=(_LONG, "The table's snapshot in the lake after it."),
    recorded_at=_RECORDED_AT,
)

PARITY = _schema(
    "Comparison of the online store with the lake: one row per partition and feature view, and another when the result"
    " changes.",
    view=(_STRING, "The feature view."),
    keys=(_LONG, "How many entities were compared."),
    differences=(_LONG, "How many values differ from the lake's at the same moment."),
    until=(TIMESTAMP, "The event time up to which the view had been published online."),
    newest=(TIMESTAMP, "The newest event time served."),
    stale=(_BOOLEAN, "Whether `newest` lags further behind `until` than the view's freshness allows."),
    evidence=(_STRING, "JSON: the first differences, each with key, feature, both values and both times."),
    recorded_at=_RECORDED_AT,
)

PUBLICATIONS = _schema(
    "A publication of features: everything that became known until then is online. Appended once for each `until`; what"
    " is published again adds nothing.",
    until=(TIMESTAMP, "The event time, exclusive, up to which it brought rows online."),
    declared=(
        _STRING,
        "JSON: feature view -> [cadence, lag] in seconds, as its source declared them then; the cadence may be null.",
    ),
    recorded_at=(TIMESTAMP, "Processing time at which the rows were online."),
)

MODEL_FILES = _schema(
    "What a training run wrote to MLflow, by digest: nothing else is ever loaded. Appended once for each model that was"
    " logged. `partition` is the last one of the training window.",
    model_run=(_STRING, "The MLflow run."),
    model=(_STRING, "MLflow's id of the logged model."),
    files=(_STRING, "JSON: file -> SHA-256; those of the model in its folder `model`."),
    origin=(
        _STRING,
        "`fit`: recorded by the training; `adopted`: recorded when a version that is older than this table was first"
        " loaded.",
    ),
    code_version=_CODE_VERSION,
    recorded_at=_RECORDED_AT,
)

INCIDENTS = _schema(
    "An event of an incident: it was opened, its facts changed, a person acknowledged it, or it was closed. Appended"
    " once for each `incident` and `sequence`. `partition` is the month (UTC) in which the incident was opened. What"
    " concerns the installation and no use case is in `_installation.incidents`.",
    incident=(_STRING, "Its id: a digest of use case, reason, subject and how many earlier ones there were of them."),
    sequence=(_LONG, "Number of the event within the incident, from 0."),
    event=(_STRING, "`opened`, `updated`, `acknowledged` or `closed`."),
    reason=(
        _STRING,
        "What kind of thing went wrong: `alarm`, `quarantine`, `overdue`, `run-failed`, `run-stuck`, `approval`,"
        " `serving`, `rolled-back`, `stale-features`, `disk`, `declaration` or `delivery`.",
    ),
    subject=(_STRING, "What it is about: a partition, run, version, view, disk or use case."),
    severity=(_STRING, "`critical`, `warning` or `info`, as of this event; so are the columns that follow."),
    title=(_STRING, "What happened, in one line."),
    meaning=(_STRING, "What it means, in a sentence."),
    action=(_STRING, "What to do, in a sentence."),
    link=(_STRING, "The address of the page where that is done."),
    evidence=(_STRING, "JSON: the facts; of a closed incident what closed it."),
    owner=(_STRING, "The use case's owner."),
    by=(_STRING, "The person who acknowledged or closed it; empty: nobody did."),
    note=(_STRING, "What that person wrote; of an incident that closed by itself, why."),
    recorded_at=_RECORDED_AT,
)

DELIVERIES = _schema(
    "An attempt to tell people of an event of an incident on one route, or the moment a route began. Appended, and only"
    " in `_installation.deliveries`: a route is of the installation. `partition` is the month (UTC) of `recorded_at`.",
    route=(_STRING, "The route's name in `PERENNIAL_ALERT_ROUTES`."),
    incident=(_STRING, "The incident; `test` of a test message; empty where the route began."),
    sequence=(_LONG, "Number of the event within the incident."),
    use_case=(_STRING, "The incident's use case; empty: the installation's."),
    key=(_STRING, "Digest of incident, sequence and route."),
    message=(
        _STRING,
        "The `key` of the message that told of the event, which is another one where that also told of a later event or"
        " of other incidents. Receivers know a message that comes twice by it.",
    ),
    attempt=(_LONG, "Number of the attempt, from 1; 0: none yet."),
    state=(
        _STRING,
        "`begun`: the route was there for the first time; `summed-up`: it is to be told in `message` with others;"
        " `sent`; `failed`, and tried again later.",
    ),
    error=(_STRING, "Why it failed, without secrets; of one that was sent what is to be known of it; else empty."),
    recorded_at=_RECORDED_AT,
)

RUN_COSTS = _schema(
    "What an attempt at a task of a run used. Appended once, when the run's last task has ended, or one that ends it;"
    " an attempt that was killed has no row. `partition` is the month (UTC) in which it ended.",
    pipeline=(_STRING, "The pipeline, such as `training`."),
    task=(_STRING, "The task."),
    run=(_STRING, "The DAG run, as `<DAG>/<run>`."),
    map_index=(_LONG, "Of a mapped task; -1: it is none."),
    attempt=(_LONG, "Number of the attempt, from 1."),
    state=(_STRING, "How it ended: `success`, `skipped`, `failed` or `up_for_retry`."),
    of_partition=(_STRING, "The partition that the run is about; null: it is about none."),
    cpu_seconds=(_DOUBLE, "Time of CPUs, of its process and that one's children."),
    wall_seconds=(_DOUBLE, "How long it took."),
    peak_bytes=(_LONG, "The most memory that the process, or one of its children, held at once."),
    read_bytes=(_LONG, "Read from files and sockets, cached or not; null: the operating system does not count it."),
    written_bytes=(_LONG, "Written to files and sockets; likewise."),
    recorded_at=_RECORDED_AT,
)

AUDIT_LOG = _schema(
    "What somebody did, on a page, by REST or on the command line. Appended when it has been answered, and only in"
    " `_installation.audit_log`. `partition` is the month (UTC) of `recorded_at`.",
    id=(_STRING, "The act."),
    actor=(_STRING, "Who: the login of Airflow, or the user of the machine; empty: nobody was logged in."),
    channel=(_STRING, "How: `page`, `rest` (also Airflow's own pages) or `cli`."),
    address=(_STRING, "From where: the client's address as the API server sees it, or the machine's name."),
    act=(_STRING, "What: method and path of the request, or the command with its arguments."),
    use_case=(_STRING, "The use case that the act names; empty: none."),
    reason=(_STRING, "Why, where whoever did it gave a reason; else empty."),
    outcome=(_STRING, "`done`; `refused` by rights or by a check; or `failed`."),
    status=(_LONG, "The answer's status of HTTP, or the command's exit code."),
    recorded_at=_RECORDED_AT,
)

#: Every table with a fixed schema, by its name in the lake, in the order in which a partition fills them.
TABLES = {
    "validations": VALIDATIONS,
    "quarantine": QUARANTINE,
    "refused_batches": REFUSED_BATCHES,
    "quarantine_decisions": QUARANTINE_DECISIONS,
    "batches": BATCHES,
    "computations": COMPUTATIONS,
    "refreshes": REFRESHES,
    "publications": PUBLICATIONS,
    "parity": PARITY,
    "metrics": METRICS,
    "backtests": BACKTESTS,
    "drift": DRIFT,
    "verdicts": VERDICTS,
    "requests": REQUESTS,
    "ledger": LEDGER,
    "model_files": MODEL_FILES,
    "incidents": INCIDENTS,
    "deliveries": DELIVERIES,
    "run_costs": RUN_COSTS,
    "audit_log": AUDIT_LOG,
}
