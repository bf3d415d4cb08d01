"""Tables of the lake that Feast writes to: saved datasets, and logs of served features.

Feast's registry names these classes by their paths.
"""

from __future__ import annotations

import json

from feast.data_source import DataSource
from feast.feature_logging import LOG_TIMESTAMP_FIELD, LoggingDestination
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.protos.feast.core.FeatureService_pb2 import LoggingConfig as LoggingConfigProto
from feast.protos.feast.core.SavedDataset_pb2 import SavedDatasetStorage as SavedDatasetStorageProto
from feast.saved_dataset import SavedDatasetStorage

from perennial.feature_store.source import LakeSource


class SavedDatasetLakeStorage(SavedDatasetStorage):
    """A saved dataset that is a table of the lake.

    Args:
        table: `<use_case>.<table>`; nothing else may be stored in it.
    """

    _proto_attr_name = "custom_storage"

    def __init__(self, table: str) -> None:
        self.table = table

    @staticmethod
    def from_proto(storage_proto: SavedDatasetStorageProto) -> SavedDatasetLakeStorage:
        """The storage that a registry holds."""
        return SavedDatasetLakeStorage(json.loads(storage_proto.custom_storage.configuration)["table"])

    def to_proto(self) -> SavedDatasetStorageProto:
        """What a registry keeps of it."""
        options = DataSourceProto.CustomSourceOptions(configuration=json.dumps({"table": self.table}).encode())
        return self._custom_storage_proto(options)

    def to_data_source(self) -> DataSource:
        """The table as a source to read."""
        return LakeSource(table=self.table)

    @staticmethod
    def from_data_source(data_source: DataSource) -> SavedDatasetLakeStorage:
        """The storage that is the same table as a source."""
        assert isinstance(data_source, LakeSource)  # noqa: S101 - Feast asks by the source's own type
        return SavedDatasetLakeStorage(data_source.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SavedDatasetLakeStorage) and self.table == other.table

    def __hash__(self) -> int:
        return hash(self.table)


class LakeLoggingDestination(LoggingDestination):
    """Logs of the features that a service served, in a table of the lake.

    Args:
        table: `<use_case>.<table>`; nothing else may be stored in it.
    """

    _proto_kind = "lake"

    def __init__(self, table: str) -> None:
        self.table = table

    @classmethod
    def from_proto(cls, config_proto: LoggingConfigProto) -> LakeLoggingDestination:
        """The destination that a registry holds."""
        return cls(config_proto.custom_destination.config["table"])

    def to_proto(self) -> LoggingConfigProto:
        """What a registry keeps of it."""
        custom = LoggingConfigProto.CustomDestination(kind=self._proto_kind, config={"table": self.table})
        return LoggingConfigProto(custom_destination=custom)

    def to_data_source(self) -> DataSource:
        """The table as a source to read."""
        return LakeSource(table=self.table, timestamp_field=LOG_TIMESTAMP_FIELD)
