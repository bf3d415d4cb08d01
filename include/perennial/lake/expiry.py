"""Drops old snapshots of partitions under way, and the files that only those consist of.

A refresh an hour would otherwise make every later commit slower, since a table's metadata lists all its snapshots, and
keep every hour's version of the same day. What anything may be pinned to is not touched: see `reading.snapshots`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import timedelta

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from perennial.lake.reading import is_open

#: A snapshot stays for whoever may still be reading it.
KEPT = timedelta(hours=1)
#: So many are dropped at once: that is a commit of its own.
AT_ONCE = 16
log = logging.getLogger(__name__)


def drop_open_snapshots(table: Table) -> None:
    """Drop a table's snapshots of partitions under way, but for the current and recent ones, once they are many.

    The caller holds the table's lock. If this is killed, files stay that no snapshot needs; nothing else is wrong.
    """
    young = time.time() * 1000 - KEPT / timedelta(milliseconds=1)
    named = {reference.snapshot_id for reference in table.metadata.refs.values()}
    old = [
        each
        for each in table.metadata.snapshots
        if is_open(each) and each.timestamp_ms < young and each.snapshot_id not in named
    ]
    if len(old) < AT_ONCE:
        return
    names = {each.snapshot_id for each in old}
    before = _files(table, old)
    table.maintenance.expire_snapshots().by_ids(sorted(names)).commit()
    unused = before - _files(table, [each for each in table.metadata.snapshots if each.snapshot_id not in names])
    for path in sorted(unused):
        try:
            table.io.delete(path)
        except FileNotFoundError:
            log.info("%s is gone already", path)
    log.info("%s: %d snapshots of open partitions dropped, %d files", table.name(), len(old), len(unused))


def _files(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """Every file that the snapshots consist of: lists of manifests, manifests, and the data."""
    lists = {each.manifest_list for each in snapshots}
    manifests: dict[str, ManifestFile] = {}
    for each in snapshots:
        manifests |= {manifest.manifest_path: manifest for manifest in each.manifests(table.io)}
    data = {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }
    return lists | set(manifests) | data
