"""What Perennial uses of Great Expectations beyond its documented API, each with its reason.

`tests/validation/test__compat.py` fails once Great Expectations offers a public way: then the function here can go.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.constants import MAX_DISTINCT_VALUES
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation_configuration import parse_result_format

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext

__all__ = ["MAX_DISTINCT_VALUES", "RESULT_FORMAT", "SHOWN", "evaluate", "metric_prefix", "quiet_context"]

#: As many values as Great Expectations shows of those that break an expectation.
SHOWN = 20
#: Without lists of all failing rows: those are recorded apart, as row numbers.
RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": SHOWN}

# At level INFO they fill a task's log, and there is no setting; the second one sets its own level when it is imported.
for _noisy in ("great_expectations", "great_expectations.data_context.types.base"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

#: Some expectations ask which kind of engine computed the metrics.
_ENGINE = PandasExecutionEngine()
_PARSED_FORMAT = parse_result_format(RESULT_FORMAT)


def evaluate(expectation: gxe.Expectation, metrics: dict[str, Any]) -> ExpectationValidationResult:
    """Let an expectation decide on metrics that were computed elsewhere.

    The documented way, `Batch.validate`, computes the metrics itself, on pandas: some hundred times slower than DuckDB
    on the same table.

    Args:
        expectation: The expectation.
        metrics: Great Expectations' name of a metric -> its value; more than the expectation needs does no harm.
    """
    result = expectation._validate(metrics, {"result_format": _PARSED_FORMAT}, _ENGINE)
    return ExpectationValidationResult(**result, expectation_config=expectation.configuration)


def metric_prefix(expectation: gxe.Expectation) -> str | None:
    """The beginning of the names of a row-level expectation's metrics, for instance `column_values.between`."""
    return getattr(expectation, "map_metric", None)


def quiet_context() -> EphemeralDataContext:
    """A context in memory that draws no progress bars into a task's log; `get_context` has no argument for them."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context
