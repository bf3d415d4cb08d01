"""Great Expectations as the judge of raw batches, feature tables and training sets.

What an expectation means follows from its kind and its severity:

- row level (a map expectation), severity `critical`: the rows that break it are quarantined with the reason;
- batch level (everything else), severity `critical`: a failure stops the partition;
- any other severity: reported, never acted upon.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)

from perennial.errors import BadBatch, PerennialError
from perennial.partitions import Partition
from perennial.records import QUARANTINE
from perennial.use_case import RawTable, UseCase

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

_ROW_LEVEL = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
_ROW = "__row__"
# The second one sets its own level when it is imported.
for _noisy in ("great_expectations", "great_expectations.data_context.types.base"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Judgement:
    """What a suite says of a table.

    Attributes:
        suite: Digest of the suite: equal suites, equal digest.
        broken_rows: Row number -> the critical row-level expectations that it breaks.
        broken_batch: The critical batch-level expectations that failed, as sentences.
        warnings: Everything else that failed, as sentences.
    """

    suite: str
    broken_rows: dict[int, list[str]] = field(default_factory=dict)
    broken_batch: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def judge(rows: pa.Table, expectations: Sequence[gxe.Expectation], where: str, *, by_row: bool = True) -> Judgement:
    """Judge `rows` by `expectations`.

    Args:
        rows: Any table.
        expectations: Great Expectations objects, each with its severity.
        by_row: Find out which rows break row-level expectations; without it, which costs a third, one that fails as a
            whole counts as broken by the batch.
        where: Names the suite in errors, for instance `include/use_cases/flights/expectations.py, flights()`.

    Raises:
        BadBatch: an expected column is missing; nothing else can be judged then.
        PerennialError: the suite itself is at fault: an expectation raised.
    """
    if not expectations:
        return Judgement(suite=_digest([]))
    seen = rows if by_row else rows.select(_columns_named(expectations, rows.column_names))
    frame = seen.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64())).to_pandas()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    batch = (
        context.data_sources.add_pandas("rows").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("rows")
    )
    suite = ExpectationSuite(name="suite", expectations=list(expectations))
    complete = {"result_format": "COMPLETE", "unexpected_index_column_names": [_ROW]}
    result = batch.get_batch({"dataframe": frame}).validate(suite, result_format=complete if by_row else "BASIC")
    results = list(result.results)
    _refuse_missing_columns(results, rows.column_names, where)
    _refuse_raising_expectations(results, where)

    broken_rows: dict[int, list[str]] = defaultdict(list)
    broken_batch: list[str] = []
    warnings: list[str] = []
    for outcome in results:
        expectation = _configuration(outcome).to_domain_obj()
        critical = expectation.severity == "critical"
        if by_row and critical and isinstance(expectation, _ROW_LEVEL):
            # Judged row by row, so also where `mostly` lets the whole pass.
            for row in outcome.result.get("unexpected_index_list") or []:
                broken_rows[row[_ROW]].append(_name(outcome))
        elif not outcome.success:
            (broken_batch if critical else warnings).append(_sentence(outcome))
    return Judgement(_digest(expectations), dict(broken_rows), broken_batch, warnings)


def _columns_named(expectations: Sequence[gxe.Expectation], columns: list[str]) -> list[str]:
    """The columns that a suite looks at: Great Expectations copies and hashes all that it is given.

    All of them where an expectation names none, since it may be about the table, or has a condition on its rows.
    """
    named: set[str] = set()
    for expectation in expectations:
        kwargs = expectation.configuration.kwargs
        own = {
            column
            for name, value in kwargs.items()
            if name.startswith("column")
            for column in ([value] if isinstance(value, str) else value or ())
        }
        if not own or kwargs.get("row_condition"):
            return columns
        named |= own
    return [name for name in columns if name in named]


def declared(table: RawTable, partition: Partition) -> list[gxe.Expectation]:
    """The expectations that a raw table's declaration implies: keys, event time, volume."""
    expectations: list[gxe.Expectation] = [
        gxe.ExpectColumnToExist(column=name, severity="critical") for name in table.key
    ]
    expectations += [gxe.ExpectColumnValuesToNotBeNull(column=name, severity="critical") for name in table.key]
    if len(table.key) == 1:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=table.key[0], severity="critical"))
    else:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key), severity="critical"))
    if table.time is not None:
        expectations += [
            gxe.ExpectColumnToExist(column=table.time, severity="critical"),
            gxe.ExpectColumnValuesToNotBeNull(column=table.time, severity="critical"),
            gxe.ExpectColumnValuesToBeBetween(
                column=table.time,
                min_value=partition.start,
                max_value=partition.end,
                strict_max=True,
                severity="critical",
            ),
        ]
    return expectations


def split(use_case: UseCase, table: RawTable, rows: pa.Table, partition: Partition) -> tuple[pa.Table, pa.Table, str]:
    """Judge a raw batch and part it.

    Returns:
        The clean rows, the quarantined rows (schema `records.QUARANTINE`), the suite's digest.

    Raises:
        BadBatch: too few rows, a missing column, a failed batch-level expectation, or too many quarantined rows.
            Nothing of the batch may be written then.
    """
    place = f"Use case {use_case.name!r}, raw table {table.name!r}, partition {partition.key!r}"
    where = f"include/use_cases/{use_case.name}/expectations.py, {table.name}()"
    if rows.num_rows < table.min_rows:
        raise BadBatch(
            f"{place}: {rows.num_rows} rows arrived, at least {table.min_rows} are expected; nothing was written.",
            "The file may be truncated or not complete yet: fetch it again and clear the task. If so few are right,"
            f" lower min_rows in include/use_cases/{use_case.name}/use_case.py.",
        )
    suite = [*declared(table, partition), *expectations_of(use_case, table.name, partition)]
    judgement = judge(rows, suite, where)
    for warning in judgement.warnings:
        logging.getLogger(__name__).warning("%s: %s", place, warning)
    if judgement.broken_batch:
        raise BadBatch(
            f"{place}: {'; '.join(judgement.broken_batch)}. Nothing was written.",
            f"Mend the batch at its source and clear the task, or correct {where} if the expectation is wrong.",
        )
    broken = judgement.broken_rows
    if rows.num_rows and len(broken) / rows.num_rows > table.max_quarantined:
        counts: dict[str, int] = defaultdict(int)
        for reasons in broken.values():
            for reason in reasons:
                counts[reason] += 1
        raise BadBatch(
            f"{place}: {len(broken)} of {rows.num_rows} rows break an expectation, more than the"
            f" {table.max_quarantined:.0%} that may be quarantined"
            f" ({'; '.join(f'{name}: {n} rows' for name, n in sorted(counts.items()))}). Nothing was written.",
            f"Mend the batch at its source and clear the task, or raise max_quarantined in"
            f" include/use_cases/{use_case.name}/use_case.py.",
        )
    keep = pa.array([row not in broken for row in range(rows.num_rows)], pa.bool_())
    refused = rows.take(pa.array(sorted(broken), pa.int64()))
    quarantined = pa.table(
        {
            "partition": [partition.key] * len(broken),
            "table": [table.name] * len(broken),
            "row": [json.dumps(row, default=str, sort_keys=True) for row in refused.to_pylist()],
            "reasons": ["; ".join(broken[row]) for row in sorted(broken)],
            "suite": [judgement.suite] * len(broken),
        },
        schema=QUARANTINE,
    )
    return rows.filter(keep), quarantined, judgement.suite


def insist(
    use_case: UseCase, name: str, rows: pa.Table, partition: Partition | None, error: type[PerennialError]
) -> str:
    """Judge a table that Perennial computed itself; any broken critical expectation is an error. Return the digest."""
    where = f"include/use_cases/{use_case.name}/expectations.py, {name}()"
    judgement = judge(rows, expectations_of(use_case, name, partition), where, by_row=False)
    broken = judgement.broken_batch
    if broken:
        place = f", partition {partition.key!r}" if partition else ""
        raise error(
            f"Use case {use_case.name!r}, table {name!r}{place}: {'; '.join(broken)}. Nothing was written.",
            f"Look at transforms.py, or correct {where} if the expectation is wrong.",
        )
    return judgement.suite


def expectations_of(use_case: UseCase, name: str, partition: Partition | None) -> list[gxe.Expectation]:
    """What the use case expects of table `name`; nothing when its `expectations.py` has no such function.

    Raises:
        PerennialError: the function raises or returns something else than expectations.
    """
    function = getattr(use_case.module("expectations"), name, None)
    if function is None:
        return []
    where = f"include/use_cases/{use_case.name}/expectations.py, {name}()"
    try:
        expectations = list(function() if partition is None else function(partition))
    except Exception as error:
        raise PerennialError(f"{where} raised {type(error).__name__}: {error}", "Correct the suite.") from error
    for expectation in expectations:
        if not isinstance(expectation, gxe.Expectation):
            raise PerennialError(
                f"{where} returned {expectation!r}.", "Return great_expectations.expectations objects."
            )
    return expectations


def _refuse_missing_columns(results: list[ExpectationValidationResult], columns: list[str], where: str) -> None:
    absent = [
        _configuration(outcome).kwargs["column"]
        for outcome in results
        if _configuration(outcome).type == "expect_column_to_exist" and not outcome.success
    ]
    if absent:
        hints = [
            f"{name!r}" + (f" (renamed to {close[0]!r}?)" if (close := get_close_matches(name, columns, n=1)) else "")
            for name in dict.fromkeys(absent)
        ]
        raise BadBatch(
            f"{where}: the batch has no column {', '.join(hints)}. It has {', '.join(c for c in columns)}."
            " Nothing was written.",
            "Have the source send the column again, map it in source.py, or change the expectation.",
        )


def _refuse_raising_expectations(results: list[ExpectationValidationResult], where: str) -> None:
    for outcome in results:
        message = _exception_message(outcome.exception_info)
        if message:
            raise PerennialError(
                f"{where}: {_name(outcome)} could not be evaluated: {message}",
                "Most often a column that does not exist or has another type; correct the expectation.",
            )


def _exception_message(info: dict[str, Any] | None) -> str:
    """GX gives either one exception or one per metric."""
    if not info:
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "") if info["raised_exception"] else ""
    return "; ".join(filter(None, (_exception_message(part) for part in info.values() if isinstance(part, dict))))


def _configuration(outcome: ExpectationValidationResult) -> ExpectationConfiguration:
    if outcome.expectation_config is None:
        raise PerennialError("Great Expectations gave a result without its expectation.", "Report this.")
    return outcome.expectation_config


def _name(outcome: ExpectationValidationResult) -> str:
    kwargs = _configuration(outcome).kwargs
    about = kwargs.get("column") or ", ".join(kwargs.get("column_list") or []) or "table"
    return f"{_configuration(outcome).type}({about})"


def _sentence(outcome: ExpectationValidationResult) -> str:
    told = ("observed_value", "unexpected_count", "unexpected_percent", "partial_unexpected_list")
    observed = {name: outcome.result[name] for name in told if name in outcome.result}
    bounds = {
        name: value
        for name, value in _configuration(outcome).kwargs.items()
        if name not in {"column", "column_list", "batch_id"} and value is not None
    }
    return f"{_name(outcome)} failed: expected {bounds}, observed {observed}"


def _digest(expectations: Sequence[gxe.Expectation]) -> str:
    configurations = sorted(str(e.configuration.to_json_dict()) for e in expectations)
    return hashlib.sha256("\n".join(configurations).encode()).hexdigest()[:12]
