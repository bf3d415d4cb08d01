"""What Feast itself writes to both stores, `push` and its relatives: the same way as `perennial.push`, or refused.

Feast writes to one store after the other, without a check, and to whichever `to` names. Rows of a table that a use case
declares must not get there so: one store would serve what the other does not have. Other views are Feast's own matter.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from anyio import to_thread
from feast.infra.passthrough_provider import PassthroughProvider

from perennial import discovery
from perennial.errors import InvalidParams, UnknownUseCase
from perennial.feature_store import repository
from perennial.feature_store.source import LakeSource
from perennial.feature_store.store import use_store
from perennial.pushing import writing
from perennial.use_case import UseCase
from perennial.use_case.table_names import RESERVED

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

#: What pandas' index is called in an Arrow table; it is none of the columns.
_INDEX = "__index_level_"


class PushingProvider(PassthroughProvider):
    """Feast's local provider, whose writes of a use case's feature rows are pushes as `perennial.push` makes them.

    `FeatureStore.push`, `push_async`, `write_to_online_store`, `write_to_online_store_async` and
    `write_to_offline_store` end here, and so does Feast's feature server. Both stores are written to whichever of them
    the caller named: the lake first, then the online store.

    Raises:
        InvalidParams: the table takes no pushed rows, or its pipelines do not bring the view online.
        InvalidRows: as `perennial.push` does; nothing was written.
        ServiceUnavailable: as `perennial.push` does.
    """

    def ingest_df(self, feature_view: Any, df: pd.DataFrame, field_mapping: dict | None = None) -> None:
        """Write rows to the online store; a use case's to the lake before.

        Args:
            feature_view: The view.
            df: Its join keys, features and times, as its source names them.
            field_mapping: Of views without a source.
        """
        if not self._push(feature_view, df):
            super().ingest_df(feature_view, df, field_mapping)

    async def ingest_df_async(self, feature_view: Any, df: pd.DataFrame, field_mapping: dict | None = None) -> None:
        """Do as `ingest_df`, in a thread.

        Args:
            feature_view: The view.
            df: Its join keys, features and times, as its source names them.
            field_mapping: Of views without a source.
        """
        if not await to_thread.run_sync(self._push, feature_view, df):
            await super().ingest_df_async(feature_view, df, field_mapping)

    def ingest_df_to_offline_store(self, feature_view: Any, table: pa.Table) -> None:
        """Write rows to the offline store; a use case's online, too.

        Args:
            feature_view: The view.
            table: Its join keys, features and times, as its source names them.
        """
        if not self._push(feature_view, table):
            super().ingest_df_to_offline_store(feature_view, table)

    def _push(self, view: Any, rows: pd.DataFrame | pa.Table) -> bool:
        """Push rows of a table that a use case declares; False, and nothing is done, if it is no such table."""
        source = getattr(view, "batch_source", None)
        if not isinstance(source, LakeSource):
            return False
        name, _, table = source.table.partition(".")
        try:
            use_case = discovery.load(name)
        except UnknownUseCase:
            return False
        declared = {each.name for each in use_case.raw} | {each.name for each in use_case.features}
        if table not in RESERVED | declared:
            return False
        with use_store(self._store):
            _check_view(use_case, view.name)
            writing.push(name, table, _rows(rows))
        return True

    @cached_property
    def _store(self) -> FeatureStore:
        """A store by the same options: Feast does not tell a provider whose it is."""
        from feast import FeatureStore

        return FeatureStore(config=self.repo_config)


def _check_view(use_case: UseCase, view: str) -> None:
    if view not in repository.feature_views(use_case.feature_service):
        raise InvalidParams(
            f"Feature view {view!r} is not in feature service {use_case.feature_service!r}, so nothing keeps it"
            " online.",
            f"Push to a view of the service, or add it there in feature_repo/{use_case.name}.py.",
        )


def _rows(rows: pd.DataFrame | pa.Table) -> pa.Table | list[dict[str, Any]]:
    """What `push` takes: of a frame row by row, so that an error names the one with a value of another type."""
    if isinstance(rows, pa.Table):
        return rows.select([name for name in rows.column_names if not name.startswith(_INDEX)])
    return rows.astype(object).where(rows.notna(), None).to_dict("records")  # type: ignore[call-overload]
