"""What Feast's own tests need to know of our offline store: how to store a frame, and where.

Feast's suite imports it by the name in `FULL_REPO_CONFIGS_MODULE`; `run.py` sets that.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from uuid import uuid4

import pandas as pd
import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_logging import LoggingDestination
from feast.repo_config import FeastConfigBaseModel, RegistryConfig
from feast.saved_dataset import SavedDatasetStorage
from tests.universal.feature_repos.universal.data_source_creator import DataSourceCreator
from tests.universal.feature_repos.universal.data_sources.file import (
    FileDataSourceCreator,
    FileParquetDatasetSourceCreator,
)

from perennial import lake
from perennial.embedded import postgres as server
from perennial.feature_store.destinations import LakeLoggingDestination, SavedDatasetLakeStorage
from perennial.feature_store.offline import LakeOfflineStoreConfig
from perennial.feature_store.source import LakeSource
from perennial.settings import settings


@cache
def start_home(process: int) -> None:
    """An embedded PostgreSQL and an empty lake for this process, gone when it ends."""
    folder = tempfile.mkdtemp(prefix="perennial-feast-suite-")
    os.environ["PERENNIAL_HOME"] = folder
    settings.cache_clear()
    server.start()
    server.create_databases()

    def stop() -> None:
        if os.getpid() == process:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)


class LakeDataSourceCreator(DataSourceCreator):
    """Frames as tables of the lake."""

    def setup(self, registry: RegistryConfig) -> None:
        start_home(os.getpid())

    def create_data_source(
        self,
        df: pd.DataFrame,
        destination_name: str,
        created_timestamp_column: str | None = "created_ts",
        field_mapping: dict[str, str] | None = None,
        timestamp_field: str | None = "ts",
    ) -> DataSource:
        start_home(os.getpid())
        table = f"{self.project_name}.{re.sub('[^a-z0-9_]', '_', destination_name.lower())}"
        lake.replace(table, "all", pa.Table.from_pandas(df, preserve_index=False))
        return LakeSource(
            table=table,
            timestamp_field=timestamp_field or "event_timestamp",
            created_timestamp_column=created_timestamp_column or "",
            field_mapping=field_mapping or {"ts_1": "ts"},
        )

    def create_offline_store_config(self) -> FeastConfigBaseModel:
        return LakeOfflineStoreConfig(staging_location=tempfile.mkdtemp(prefix=self.project_name))

    def create_saved_dataset_destination(self) -> SavedDatasetStorage:
        return SavedDatasetLakeStorage(f"{self.project_name}.saved_{uuid4().hex[:8]}")

    def create_logged_features_destination(self) -> LoggingDestination:
        return LakeLoggingDestination(f"{self.project_name}.logs_{uuid4().hex[:8]}")

    def teardown(self) -> None:
        """The home goes with the process."""


class PerennialFileDataSourceCreator(FileDataSourceCreator):
    """Frames as single Parquet files."""

    def setup(self, registry: RegistryConfig) -> None:
        start_home(os.getpid())

    def create_offline_store_config(self) -> FeastConfigBaseModel:
        return LakeOfflineStoreConfig()


class PerennialFolderDataSourceCreator(FileParquetDatasetSourceCreator):
    """Frames as folders of Parquet files."""

    def setup(self, registry: RegistryConfig) -> None:
        start_home(os.getpid())

    def create_offline_store_config(self) -> FeastConfigBaseModel:
        return LakeOfflineStoreConfig(memory_limit="1MiB")


AVAILABLE_ONLINE_STORES = {"sqlite": ({"type": "sqlite"}, None)}
AVAILABLE_OFFLINE_STORES = [
    ("local", LakeDataSourceCreator),
    ("local", PerennialFileDataSourceCreator),
]

# A few tests run for `file` only, which Feast means its dask store by. The suite has no other way to say it is ours.
_suite = sys.modules["tests.universal.feature_repos.repo_configuration"]
_suite.OFFLINE_STORE_TO_PROVIDER_CONFIG["file"] = ("local", PerennialFileDataSourceCreator)
