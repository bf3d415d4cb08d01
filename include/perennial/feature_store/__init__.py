"""The feature store: Feast, taught to read the lake and to keep its online copy honest.

- `repository`: what pipelines call: apply definitions, materialize, retrieve;
- `definitions`: the Feast objects that `feature_repo/` defines, checked against the lake;
- `source`, `offline`, `online`: Feast's own extension points, named in `feature_repo/`;
- `point_in_time`: which feature row an example may see.

Only `repository` is light to import.
"""

#: `<view>` and this is the column that says when the values of a view that was joined became known.
EVENT_TIMESTAMP = "__event_timestamp"
