"""Canaries: each fails once Great Expectations has a public way, and something of `validation/_compat.py` can go."""

from __future__ import annotations

import inspect
import logging

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types import base

from perennial.validation import _compat

#: What Great Expectations' decorator of documented functions adds to their docstrings.
PUBLIC = "--Public API--"


def test_no_documented_method_evaluates_given_metrics() -> None:
    methods = inspect.getmembers(gxe.Expectation, inspect.isfunction)
    takes_metrics = {name for name, method in methods if "metrics" in inspect.signature(method).parameters}
    documented = {name for name, method in methods if PUBLIC in (method.__doc__ or "")}
    assert documented, "documented methods are known by another mark"
    assert takes_metrics & documented == set()
    assert {"_validate", "metrics_validate"} <= takes_metrics


def test_the_method_that_evaluates_metrics_takes_what_we_give() -> None:
    parameters = list(inspect.signature(gxe.Expectation._validate).parameters)
    assert parameters == ["self", "metrics", "runtime_configuration", "execution_engine"]


def test_row_level_expectations_name_their_metrics() -> None:
    expectation = gxe.ExpectColumnValuesToBeBetween(column="km", min_value=0)
    assert _compat.metric_prefix(expectation) == "column_values.between"


def test_a_context_has_no_argument_for_progress_bars() -> None:
    assert "progress_bars" not in inspect.signature(gx.get_context).parameters
    assert gx.get_context(mode="ephemeral").progress_bars is None


def test_a_module_sets_its_own_level_of_logging() -> None:
    assert "logger.setLevel(logging.INFO)" in inspect.getsource(base)
    assert logging.getLogger(base.__name__).level == logging.WARNING


def test_as_many_distinct_values_are_shown_as_we_compute() -> None:
    rows = pd.DataFrame({"number": range(_compat.MAX_DISTINCT_VALUES + 5)})
    asset = _compat.quiet_context().data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": rows})
    result = batch.validate(gxe.ExpectColumnDistinctValuesToBeInSet(column="number", value_set=[-1])).result
    assert _compat.MAX_DISTINCT_VALUES in [len(value) for value in result.values() if isinstance(value, list)], result
