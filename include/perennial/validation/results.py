"""What suites said, kept in the lake for as long as anybody may ask, and the address of its page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from perennial import lake
from perennial.lake.schemas import VALIDATIONS
from perennial.partitions import Partition
from perennial.registry import provenance
from perennial.settings import settings
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from perennial.validation.judging import Judgement


def keep(use_case: UseCase, partition: Partition, judged: Mapping[str, tuple[int, Judgement]]) -> str:
    """Keep the results of one task's run on a partition; return the address of their page.

    Args:
        use_case, partition: What was judged.
        judged: Table -> its number of rows and what its suite said of it.
    """
    results = {name: json.dumps(each.result.to_json_dict(), sort_keys=True) for name, (_, each) in judged.items()}
    content = "\n".join(f"{name} {results[name]}" for name in sorted(results))
    # Equal results have one name: a run that is repeated adds nothing.
    validation = hashlib.sha256(content.encode()).hexdigest()[:16]
    rows = [
        {
            "partition": partition.key,
            "table": name,
            "validation": validation,
            "success": bool(each.result.success),
            "rows": rows,
            "suite": each.suite,
            "result": results[name],
            "code_version": provenance.code_version(),
            "recorded_at": datetime.now(UTC),
        }
        for name, (rows, each) in judged.items()
    ]
    if rows:
        lake.append_missing(
            use_case.tables.validations,
            pa.Table.from_pylist(rows, schema=VALIDATIONS),
            key=("table", "validation"),
        )
    return address(use_case.name, partition.key, validation)


def address(use_case: str, partition: str, validation: str) -> str:
    """Where Airflow shows the results of one run."""
    return f"{settings().airflow_public_uri}/perennial/validations/{use_case}/{quote(partition)}/{validation}"


def of_partition(use_case: UseCase, partition: Partition) -> list[dict[str, Any]]:
    """All kept results of a partition, newest first; `result` is Great Expectations' own, parsed."""
    rows = lake.records(use_case.tables.validations, between=(partition.key, partition.key))
    rows.sort(key=lambda row: row["table"])
    rows.sort(key=lambda row: row["recorded_at"], reverse=True)
    return [{**row, "result": json.loads(row["result"])} for row in rows]
