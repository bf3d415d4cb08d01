"""A partition of the lake that becomes another one than its pipelines made."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa

from perennial import lake
from perennial.partitions import Partition


def rewrite(table: str, partition: Partition, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Replace a partition of a table by what `change` makes of it."""
    kept = lake.read(table, partitions=[partition.key])
    changed = change(kept.to_pandas())
    lake.replace(table, partition.key, pa.Table.from_pandas(changed, schema=kept.schema, preserve_index=False))
