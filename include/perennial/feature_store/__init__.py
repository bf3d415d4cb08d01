"""The feature store: Feast, taught to read the lake and to keep its online copy honest.

- `repository`: what pipelines call: apply definitions, materialize, retrieve;
- `definitions`: the Feast objects that `feature_repo/` defines, checked against the lake;
- `source`, `offline`, `online`: Feast's own extension points, named in `feature_repo/`;
- `retrieval`, `windows`, `point_in_time`, `keys`: historical retrieval, from views down to the row an example may see;
- `entity_rows`, `queries`, `history`: the examples that features are retrieved for;
- `scan`, `lake_files`, `files`: reading lake tables and Parquet files;
- `engine`, `materialization`, `registry`: bringing rows online, and remembering which;
- `served`: what was served, held against the lake;
- `retrieval_job`, `pulls`, `writing`, `destinations`: what else Feast asks of an offline store.

Only `repository` is light to import.
"""

#: `<view>` and this is the column that says when the values of a view that was joined became known.
EVENT_TIMESTAMP = "__event_timestamp"
