"""Feast's file registry, for one machine, in which no change is lost.

Feast's own writes the whole registry from memory over the file, in place: a reader at that moment sees half of it, and
of two concurrent changes the first one is lost. Name it in feature_store.yaml:

    registry:
      registry_type: file
      path: registry.db
      registry_store_type: perennial.feature_store.registry.CheckedFileRegistryStore
"""

from __future__ import annotations

import os
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RegistryConfig
from filelock import FileLock

from perennial.errors import PerennialError


class RegistryChanged(PerennialError):
    """Another process changed the registry file between the reading and the writing of it; nothing was written."""


class CheckedFileRegistryStore(FileRegistryStore):
    """A registry file that is replaced as a whole, and only by what was made from its current content.

    The pipelines serialize their changes, so they never get `RegistryChanged`; a `feast apply` by hand may, and is
    then simply run again.
    """

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        super().__init__(registry_config, repo_path)
        self._file = repo_path / registry_config.path
        self._lock = FileLock(f"{self._file}.lock")

    def update_registry_proto(self, registry_proto: RegistryProto) -> None:
        """Replace the file.

        Raises:
            RegistryChanged: the file is not the one that `registry_proto` was made from.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            current = RegistryProto()
            if self._file.exists():
                current = self.get_registry_proto()
            if current.version_id and not registry_proto.version_id and not registry_proto.data_sources:
                # Two processes start on a new file: the second takes over what the first wrote.
                registry_proto.CopyFrom(current)
                return
            if current.version_id != registry_proto.version_id:
                raise RegistryChanged(
                    f"The Feast registry {self._file} was changed by another process since it was read.",
                    "Run it again: it then starts from the current registry.",
                )
            registry_proto.version_id = str(uuid.uuid4())
            registry_proto.last_updated.FromDatetime(datetime.now(UTC))
            self._replace(registry_proto.SerializeToString())

    def _replace(self, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._file.parent, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._file)
