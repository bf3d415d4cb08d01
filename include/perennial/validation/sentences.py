"""What Great Expectations' results say, in names and sentences."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from perennial.errors import PerennialError

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration


def configuration(result: ExpectationValidationResult) -> ExpectationConfiguration:
    """The expectation that was judged."""
    if result.expectation_config is None:
        raise PerennialError("Great Expectations gave a result without its expectation.", "Report this.")
    return result.expectation_config


def name(expectation: ExpectationConfiguration) -> str:
    """An expectation's type and what it is about."""
    kwargs = expectation.kwargs
    pair = [kwargs[end] for end in ("column_A", "column_B") if end in kwargs]
    about = kwargs.get("column") or ", ".join(kwargs.get("column_list") or pair) or "table"
    return f"{expectation.type}({about})"


def failed(result: ExpectationValidationResult) -> str:
    """What was expected and what was observed instead."""
    told = (
        "observed_value",
        "unexpected_count",
        "unexpected_percent",
        "partial_unexpected_list",
        "partial_missing_list",
    )
    observed = {each: result.result[each] for each in told if each in result.result}
    about = {"column", "column_A", "column_B", "column_list", "batch_id"}
    bounds = {
        each: value for each, value in configuration(result).kwargs.items() if each not in about and value is not None
    }
    return f"{name(configuration(result))} failed: expected {bounds}, observed {observed}"


def absent(column: str, columns: list[str]) -> str:
    """A column that is not there, and what it may be called now."""
    close = get_close_matches(column, columns, n=1)
    return f"{column!r}" + (f" (renamed to {close[0]!r}?)" if close else "")


def raised(info: dict[str, Any] | None) -> str:
    """Why an expectation could not be evaluated; empty if it was. GX gives either one exception or one per metric."""
    if not info:
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "") if info["raised_exception"] else ""
    return "; ".join(filter(None, (raised(part) for part in info.values() if isinstance(part, dict))))
