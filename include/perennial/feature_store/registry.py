"""Feast's file registry, for one machine, in which no change is lost.

Feast's own writes the whole registry from memory over the file, in place: whoever reads at that moment sees half of it,
and of two who change something the first one's change is gone. Name it in feature_store.yaml:

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
    """Somebody changed the registry file between the reading and the writing of it; nothing was written."""


class CheckedFileRegistryStore(FileRegistryStore):
    """A registry file that is replaced as a whole, and only by what was made from its present content.

    The pipelines serialize their changes, so they never meet `RegistryChanged`; a `feast apply` by hand may, and is
    then simply run again.
    """

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        super().__init__(registry_config, repo_path)
        self._lock = FileLock(f"{self._filepath}.lock")

    def _write_registry(self, registry_proto: RegistryProto) -> None:
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            present = RegistryProto()
            if self._filepath.exists():
                present = self.get_registry_proto()
            if present.version_id and not registry_proto.version_id and not registry_proto.data_sources:
                # Two processes start on a new file: the second takes over what the first made.
                registry_proto.CopyFrom(present)
                return
            if present.version_id != registry_proto.version_id:
                raise RegistryChanged(
                    f"The Feast registry {self._filepath} was changed by somebody else since it was read.",
                    "Run it again: it then starts from the present registry.",
                )
            registry_proto.version_id = str(uuid.uuid4())
            registry_proto.last_updated.FromDatetime(datetime.now(UTC))
            self._replace(registry_proto.SerializeToString())

    def _replace(self, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._filepath.parent, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._filepath)
