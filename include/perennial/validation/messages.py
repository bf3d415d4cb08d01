"""Names of expectations, and messages about results of Great Expectations that failed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from perennial.errors import PerennialError

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

#: What is shown of a result that failed.
_OBSERVED = (
    "observed_value",
    "unexpected_count",
    "unexpected_percent",
    "partial_unexpected_list",
    "partial_missing_list",
)
#: The arguments of an expectation that name its subject rather than what is expected of it.
_SUBJECT = {"column", "column_A", "column_B", "column_list", "batch_id"}


def configuration(result: ExpectationValidationResult) -> ExpectationConfiguration:
    """The expectation that a result is about.

    Raises:
        PerennialError: the result does not say.
    """
    if result.expectation_config is None:
        raise PerennialError("Great Expectations gave a result without its expectation.", "Report this.")
    return result.expectation_config


def expectation_name(expectation: ExpectationConfiguration) -> str:
    """An expectation's type and its columns, for instance `expect_column_values_to_be_between(distance)`."""
    kwargs = expectation.kwargs
    pair = [kwargs[end] for end in ("column_A", "column_B") if end in kwargs]
    subject = kwargs.get("column") or ", ".join(kwargs.get("column_list") or pair) or "table"
    return f"{expectation.type}({subject})"


def failure(result: ExpectationValidationResult) -> str:
    """What was expected and what was observed instead."""
    expectation = configuration(result)
    observed = {name: result.result[name] for name in _OBSERVED if name in result.result}
    expected = {name: value for name, value in expectation.kwargs.items() if name not in _SUBJECT and value is not None}
    return f"{expectation_name(expectation)} failed: expected {expected}, observed {observed}"


def missing_column(column: str, columns: Sequence[str]) -> str:
    """The name of a column that does not exist, and which one it may have been renamed to.

    Args:
        column: The expected column.
        columns: The columns that exist.
    """
    close = get_close_matches(column, columns, n=1)
    return f"{column!r}" + (f" (renamed to {close[0]!r}?)" if close else "")


def exception_message(info: dict[str, Any] | None) -> str:
    """Why an expectation could not be evaluated; empty if it was.

    Args:
        info: `exception_info` of a result: Great Expectations gives either one exception or one for each metric.
    """
    if not info:
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "") if info["raised_exception"] else ""
    return "; ".join(filter(None, (exception_message(part) for part in info.values() if isinstance(part, dict))))
