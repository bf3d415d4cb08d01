"""Records validation results in the lake, and reads them back for the page that shows them."""

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
    from perennial.validation.suite_validation import SuiteResult


def record(use_case: UseCase, partition: Partition, validated: Mapping[str, tuple[int, SuiteResult]]) -> str:
    """Record the results of one task's run on a partition; return the address of the page that shows them.

    Args:
        use_case: The use case.
        partition: The partition that was validated.
        validated: Table -> its number of rows and the result of its suite.
    """
    results = {name: json.dumps(each.gx_result.to_json_dict(), sort_keys=True) for name, (_, each) in validated.items()}
    content = "\n".join(f"{name} {results[name]}" for name in sorted(results))
    # Equal results have one name.
    validation = hashlib.sha256(content.encode()).hexdigest()[:16]
    now = datetime.now(UTC)
    records = [
        {
            "partition": partition.key,
            "table": name,
            "validation": validation,
            "success": bool(each.gx_result.success),
            "rows": rows,
            "suite": each.suite,
            "result": results[name],
            "code_version": provenance.code_version(),
            "recorded_at": now,
        }
        for name, (rows, each) in validated.items()
    ]
    if records:
        # Results that recur after others are recorded again: of each table the newest record is the current one.
        lake.append_changed(
            use_case.tables.validations, pa.Table.from_pylist(records, schema=VALIDATIONS), per=("table",)
        )
    return page_address(use_case.name, partition.key, validation)


def page_address(use_case: str, partition: str, validation: str) -> str:
    """Where Airflow shows the results of one run.

    Args:
        use_case: Name of the use case.
        partition: Key of the partition.
        validation: Name of the results, as `record` makes it.
    """
    return f"{settings().airflow_public_uri}/perennial/validations/{use_case}/{quote(partition)}/{validation}"


def of_partition(use_case: UseCase, partition: Partition) -> list[dict[str, Any]]:
    """All recorded results of a partition, newest first.

    Args:
        use_case: The use case.
        partition: The partition that was validated.

    Returns:
        Rows of the lake's table `validations`; `result` is Great Expectations' own, parsed.
    """
    rows = lake.records(use_case.tables.validations, between=(partition.key, partition.key))
    rows.sort(key=lambda row: row["table"])
    rows.sort(key=lambda row: row["recorded_at"], reverse=True)
    return [{**row, "result": json.loads(row["result"])} for row in rows]
