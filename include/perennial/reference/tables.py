"""docs/tables.md: the lake's tables and what their columns mean, from `perennial.lake.schemas`."""

from __future__ import annotations

import pyarrow as pa

from perennial.lake import schemas
from perennial.reference.markdown import page, table

#: Types as Iceberg calls them.
_TYPES = {"int64": "long", "bool": "boolean", "timestamp[us, tz=UTC]": "timestamp"}

_INTRODUCTION = """\
Iceberg tables, named `<use case>.<table>`. Each has the string column `partition`, which it is partitioned by.
Timestamps are UTC microseconds. Times called `recorded_at` or `predicted_at` are processing time, all others event
time. What the numbers are good for, and how they mislead: [numbers.md](numbers.md).

Look at one with `perennial up` running:

```python
from perennial import lake

lake.read("flights.quarantine", partitions=["2013-03"]).to_pandas()
```

or with any Iceberg reader on the same catalog. Nothing expires old snapshots yet.
"""

_FROM_THE_DATA = (
    ("each raw table, for instance `flights.weather`", "a clean raw row", "`features.ingest`", "partition replaced"),
    (
        "each feature table, for instance `flights.carrier_lateness`",
        "a key's features as known from `event_timestamp` on",
        "`features.compute`",
        "partition replaced",
    ),
    (
        "`examples`",
        "a thing to predict; `label` and `label_timestamp` are null while unknown",
        "`features.compute`",
        "partition replaced",
    ),
    (
        "`predictions`",
        "a prediction with the features it was made from",
        "`scoring.score`",
        "appended once by example key",
    ),
    (
        "`served_predictions`",
        "a prediction that a caller was answered, or that was made ahead",
        "`served_predictions.table.append`",
        "appended once by `prediction_id`",
    ),
)


def markdown() -> str:
    """The whole page."""
    parts = ["## From the data: schema by the use case", ""]
    parts += [*table(("table", "a row is", "written by", "how"), _FROM_THE_DATA), ""]
    parts += ["`predictions` adds to the example's columns (without its label) and features:", ""]
    parts += [*_columns(schemas.PREDICTION), ""]
    parts += [
        "`served_predictions` adds to the example's key (null where the caller did not send it), the fields of the"
    ]
    parts += ["the request and the model's inputs:", ""]
    parts += [*_columns(schemas.SERVED_PREDICTION), "", "## Perennial's own records", ""]
    for name, schema in schemas.TABLES.items():
        parts += [f"### {name}", "", schemas.meaning(schema), "", *_columns(schema), ""]
    return page("The lake's tables", _INTRODUCTION, parts)


def _columns(schema: pa.Schema) -> list[str]:
    rows = [(f"`{field.name}`", _type(field), schemas.meaning(field)) for field in schema if field.name != "partition"]
    return table(("column", "type", "meaning"), rows)


def _type(field: pa.Field) -> str:
    return _TYPES.get(str(field.type), str(field.type))
