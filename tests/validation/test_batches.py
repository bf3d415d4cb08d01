"""Raw batches, validated by real suites: which rows are quarantined, and which batches are rejected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial import Cadence, RawTable, validation
from perennial.errors import BadBatch, PerennialError

MARCH = Cadence.MONTHLY.partition("2013-03")
TABLE = RawTable(name="trips", key=("id",), time="at", min_rows=2, max_quarantined=0.5)


def use_case(*expectations: gxe.Expectation) -> SimpleNamespace:
    suite = SimpleNamespace(trips=lambda partition: list(expectations))
    return SimpleNamespace(name="taxis", module=lambda name: suite)


def batch(ids: list, at: list | None = None, **more: list) -> pa.Table:
    at = at or [MARCH.start + timedelta(hours=1)] * len(ids)
    return pa.table({"id": pa.array(ids, pa.int64()), "at": pa.array(at, pa.timestamp("us", tz="UTC")), **more})


def test_clean_rows_pass_untouched() -> None:
    split = validation.validate_batch(use_case(), TABLE, batch([1, 2, 3]), MARCH)
    assert split.clean.equals(batch([1, 2, 3]))
    assert split.quarantined.num_rows == 0


def test_a_row_that_breaks_an_expectation_is_quarantined() -> None:
    suite = use_case(gxe.ExpectColumnValuesToBeBetween(column="km", min_value=0, severity="critical"))
    split = validation.validate_batch(suite, TABLE, batch([1, 2, 3], km=[1.0, -5.0, 2.0]), MARCH)
    assert split.clean["id"].to_pylist() == [1, 3]
    assert split.quarantined.to_pylist() == batch([2], km=[-5.0]).to_pylist()
    assert split.reasons.to_pylist() == ["expect_column_values_to_be_between(km)"]


def test_a_warning_never_quarantines_a_row() -> None:
    suite = use_case(gxe.ExpectColumnValuesToBeBetween(column="km", min_value=0, severity="warning"))
    split = validation.validate_batch(suite, TABLE, batch([1, 2], km=[1.0, -5.0]), MARCH)
    assert split.clean.num_rows == 2


def test_every_copy_of_a_duplicate_key_is_quarantined() -> None:
    split = validation.validate_batch(use_case(), TABLE, batch([1, 1, 2, 3]), MARCH)
    assert split.clean["id"].to_pylist() == [2, 3]
    assert split.quarantined.num_rows == 2


def test_null_keys_are_quarantined() -> None:
    split = validation.validate_batch(use_case(), TABLE, batch([1, None, 3]), MARCH)
    assert split.clean["id"].to_pylist() == [1, 3]
    assert "not_be_null(id)" in split.reasons[0].as_py()


def test_the_partition_is_half_open() -> None:
    at = [MARCH.start, MARCH.end, MARCH.start - timedelta(microseconds=1), MARCH.end - timedelta(microseconds=1)]
    split = validation.validate_batch(use_case(), TABLE, batch([1, 2, 3, 4], at), MARCH)
    assert split.clean["id"].to_pylist() == [1, 4]
    assert split.quarantined.num_rows == 2


def test_timestamps_in_the_future_are_quarantined() -> None:
    at = [MARCH.start, datetime(2200, 1, 1, tzinfo=UTC)]
    split = validation.validate_batch(use_case(), TABLE, batch([1, 2], at), MARCH)
    assert split.quarantined.num_rows == 1


def test_too_few_rows_reject_the_batch_and_say_what_to_do() -> None:
    with pytest.raises(BadBatch, match=r"'taxis'.*'trips'.*'2013-03'.*1 rows arrived, at least 2(.|\n)*truncated"):
        validation.validate_batch(use_case(), TABLE, batch([1]), MARCH)


def test_a_renamed_column_rejects_the_batch_and_is_guessed() -> None:
    suite = use_case(gxe.ExpectColumnToExist(column="distance", severity="critical"))
    with pytest.raises(BadBatch, match=r"no column 'distance' \(renamed to 'distanze'\?\)"):
        validation.validate_batch(suite, TABLE, batch([1, 2], distanze=[1.0, 2.0]), MARCH)


def test_a_broken_batch_level_expectation_rejects_the_batch() -> None:
    suite = use_case(gxe.ExpectColumnMeanToBeBetween(column="km", max_value=10, severity="critical"))
    with pytest.raises(BadBatch, match=r"expect_column_mean_to_be_between\(km\) failed"):
        validation.validate_batch(suite, TABLE, batch([1, 2], km=[100.0, 100.0]), MARCH)


def test_too_many_quarantined_rows_reject_the_batch() -> None:
    with pytest.raises(BadBatch, match="more than the 50% that may be quarantined"):
        validation.validate_batch(use_case(), TABLE, batch([1, 1, 1, 2]), MARCH)


def test_a_suite_that_names_a_wrong_column_is_at_fault() -> None:
    suite = use_case(gxe.ExpectColumnValuesToNotBeNull(column="nowhere", severity="critical"))
    with pytest.raises(PerennialError, match=r"expectations.py, trips\(\): .*nowhere"):
        validation.validate_batch(suite, TABLE, batch([1, 2]), MARCH)


def test_a_suite_that_raises_is_named() -> None:
    broken = SimpleNamespace(name="taxis", module=lambda name: SimpleNamespace(trips=lambda p: 1 / 0))
    with pytest.raises(PerennialError, match="raised ZeroDivisionError"):
        validation.validate_batch(broken, TABLE, batch([1, 2]), MARCH)


def test_equal_suites_have_equal_digests() -> None:
    one, two = (validation.validate_batch(use_case(), TABLE, batch([1, 2]), MARCH).result.suite for _ in range(2))
    assert one == two


def test_a_suite_whose_bounds_do_not_compare_is_at_fault() -> None:
    suite = use_case(gxe.ExpectColumnMeanToBeBetween(column="km", min_value=MARCH.start, severity="critical"))
    with pytest.raises(PerennialError, match=r"expectations.py, trips\(\): .*could not be evaluated"):
        validation.validate_batch(suite, TABLE, batch([1, 2], km=[1.0, 2.0]), MARCH)


def test_results_of_duckdb_and_of_pandas_are_combined() -> None:
    suite = use_case(
        gxe.ExpectColumnValuesToMatchRegex(column="name", regex=r"^\w+$", severity="critical"),
        gxe.ExpectColumnValuesToBeBetween(column="km", min_value=0, severity="critical"),
        gxe.ExpectTableColumnsToMatchSet(column_set=["id", "at", "km", "name"], severity="critical"),
    )
    rows = batch([1, 2, 3, 4], km=[1.0, -1.0, -2.0, 3.0], name=["a", "b!", "c", "d"])
    split = validation.validate_batch(suite, TABLE, rows, MARCH)
    assert split.clean["id"].to_pylist() == [1, 4]
    assert split.reasons.to_pylist() == [
        "expect_column_values_to_match_regex(name); expect_column_values_to_be_between(km)",
        "expect_column_values_to_be_between(km)",
    ]
    assert "unexpected_index_list" not in str(split.result.gx_result.to_json_dict())


def test_great_expectations_computes_what_duckdb_cannot() -> None:
    suite = use_case(gxe.ExpectColumnStdevToBeBetween(column="km", max_value=1, severity="warning"))
    split = validation.validate_batch(suite, TABLE, batch([1, 2], km=[float("inf"), 1.0]), MARCH)
    assert len(split.result.warnings) == 1
