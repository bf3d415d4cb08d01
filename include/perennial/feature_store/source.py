"""`LakeSource`: a Feast data source that is a table of the lake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import timedelta

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store.publication import Publication

_FEAST_TYPES = {
    "boolean": ValueType.BOOL,
    "int": ValueType.INT32,
    "long": ValueType.INT64,
    "float": ValueType.FLOAT,
    "double": ValueType.DOUBLE,
    "decimal": ValueType.DOUBLE,
    "string": ValueType.STRING,
    "uuid": ValueType.STRING,
    "binary": ValueType.BYTES,
    "fixed": ValueType.BYTES,
    "date": ValueType.UNIX_TIMESTAMP,
    "timestamp": ValueType.UNIX_TIMESTAMP,
    "timestamptz": ValueType.UNIX_TIMESTAMP,
    "list<boolean>": ValueType.BOOL_LIST,
    "list<int>": ValueType.INT32_LIST,
    "list<long>": ValueType.INT64_LIST,
    "list<float>": ValueType.FLOAT_LIST,
    "list<double>": ValueType.DOUBLE_LIST,
    "list<string>": ValueType.STRING_LIST,
}

#: How a registry calls what a source declares of its publication.
_EVERY, _AFTER = "published_every", "published_after"
_MICROSECOND = timedelta(microseconds=1)


def stored_name(source: DataSource, name: str) -> str:
    """The source's own name of a column.

    Args:
        source: The source.
        name: What the feature view calls the column.
    """
    return next((column for column, mapped in source.field_mapping.items() if mapped == name), name)


class LakeSource(DataSource):
    """Features that are stored in a table of the lake.

    A row is published, which is when it can be served, at the first multiple of `published_every` since 1970-01-01 UTC
    that is later than the row became known, plus `published_after`. Training, the gate and batch scoring do not see it
    earlier; its age still counts from when it became known.

    Args:
        table: `<use_case>.<table>`.
        timestamp_field: The column that says when a row's values became known (UTC).
        created_timestamp_column: The column that says when a row was written; of rows with one key and one
            `timestamp_field` the newest wins. Empty: there is none.
        published_every: The cadence at which rows reach the online store. None: each by itself.
        published_after: How long it takes from a tick of that cadence, or without one from when a row became known,
            until the row can be served.
        field_mapping: Names in the table to names in the feature view.
        name: The source's name in Feast; the table's by default.
        description: For people.
        tags: For people and tools.
        owner: Who is responsible for it.
    """

    def __init__(
        self,
        *,
        table: str,
        timestamp_field: str = "event_timestamp",
        created_timestamp_column: str = "",
        published_every: timedelta | None = None,
        published_after: timedelta = timedelta(0),
        field_mapping: dict[str, str] | None = None,
        name: str = "",
        description: str = "",
        tags: dict[str, str] | None = None,
        owner: str = "",
    ) -> None:
        super().__init__(
            name=name or table,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            field_mapping=field_mapping,
            description=description,
            tags=tags,
            owner=owner,
        )
        self.table = table
        self.publication = Publication(published_every, published_after)
        self.publication.check(f"Lake source {self.name!r} in {self.file}")

    @property
    def file(self) -> str:
        """The file that, by convention, defines the views of this table's use case."""
        return f"feature_repo/{self.table.split('.', 1)[0]}.py"

    def columns(self) -> dict[str, str]:
        """The table's columns and Iceberg types, without the lake's own; empty while the table does not exist."""
        table = lake.table(self.table)
        fields = table.schema().fields if table is not None else ()
        return {field.name: str(field.field_type) for field in fields if field.name != lake.PARTITION}

    # What Feast asks of a data source.

    def source_type(self) -> DataSourceProto.SourceType.ValueType:
        """A custom source, to Feast."""
        return DataSourceProto.CUSTOM_SOURCE

    def validate(self, config: RepoConfig) -> None:
        """Check that the table has the source's own columns. A table that does not exist yet passes.

        Raises:
            BadFeatures: it lacks one.
        """
        stored = self.columns()
        own = [stored_name(self, name) for name in (self.timestamp_field, self.created_timestamp_column)]
        missing = [name for name in (*own, *self.field_mapping) if name and name not in stored]
        if stored and missing:
            raise BadFeatures(
                f"Lake source {self.name!r} in {self.file} names column {missing[0]!r}, which table {self.table!r}"
                " does not have.",
                f"Its columns are {', '.join(stored)}.",
            )

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        """The table's columns and Iceberg types; none while the table does not exist."""
        return list(self.columns().items())

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        """The function from an Iceberg type to Feast's; UNKNOWN where Feast has none."""
        return lambda kind: _FEAST_TYPES.get(kind.split("(")[0].split("[")[0], ValueType.UNKNOWN)

    def get_table_query_string(self) -> str:
        """The table, as queries for entity rows name it."""
        return self.table

    def _to_proto_impl(self) -> DataSourceProto:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{LakeSource.__module__}.{LakeSource.__qualname__}",
            custom_options=DataSourceProto.CustomSourceOptions(
                configuration=json.dumps({"table": self.table} | self._publication_options()).encode()
            ),
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
            field_mapping=self.field_mapping,
            description=self.description,
            tags=self.tags,
            owner=self.owner,
        )

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> LakeSource:
        """The source that a registry holds."""
        options = json.loads(data_source.custom_options.configuration)
        every = options.get(_EVERY)
        return LakeSource(
            table=options["table"],
            published_every=None if every is None else timedelta(microseconds=every),
            published_after=timedelta(microseconds=options.get(_AFTER, 0)),
            name=data_source.name,
            timestamp_field=data_source.timestamp_field,
            created_timestamp_column=data_source.created_timestamp_column,
            field_mapping=dict(data_source.field_mapping),
            description=data_source.description,
            tags=dict(data_source.tags),
            owner=data_source.owner,
        )

    def _publication_options(self) -> dict[str, int]:
        """What is declared of it, in microseconds: a source that declares nothing is stored as it always was."""
        every, after = self.publication.every, self.publication.after
        options = {_EVERY: every // _MICROSECOND} if every is not None else {}
        return options | ({_AFTER: after // _MICROSECOND} if after else {})

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LakeSource)
            and super().__eq__(other)
            and self.table == other.table
            and self.publication == other.publication
        )

    def __hash__(self) -> int:
        return super().__hash__()
