"""Predictions as arrays and as columns: the same numbers both ways, whatever classes came and went meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from perennial.errors import PerennialError
from perennial.lake import prediction_columns


def classes(*names: str) -> SimpleNamespace:
    return SimpleNamespace(name="tickets", task="multiclass", classes=names)


BINARY = SimpleNamespace(task="binary", classes=())
COLOURS = classes("red", "green", "blue")
PREDICTED = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])


def test_of_other_tasks_there_is_one_column_of_numbers() -> None:
    assert prediction_columns.names(BINARY) == ("prediction",)
    (column,) = prediction_columns.written(BINARY, np.array([0.25])).values()
    assert column.equals(pa.array([0.25]))
    rows = pl.DataFrame({"prediction": [0.25]})
    assert prediction_columns.gathered(BINARY, rows) is rows


def test_columns_hold_the_most_probable_class_and_all_probabilities() -> None:
    table = pa.table(prediction_columns.written(COLOURS, PREDICTED))
    assert tuple(table.column_names) == prediction_columns.names(COLOURS)
    assert table["prediction"].to_pylist() == ["green", "red"], "of equal ones the first"
    assert table["probability_blue"].to_pylist() == [0.3, 0.4]
    read = prediction_columns.gathered(COLOURS, pl.DataFrame(table))
    assert read.columns == ["prediction"]
    assert np.array_equal(read["prediction"].to_numpy(), PREDICTED)
    assert np.array_equal(prediction_columns.array(read.to_pandas()["prediction"]), PREDICTED)


def test_rows_from_before_a_class_was_declared_give_it_no_probability() -> None:
    rows = pl.DataFrame(pa.table(prediction_columns.written(COLOURS, PREDICTED)))
    read = prediction_columns.gathered(classes("pink", "red", "green", "blue"), rows)["prediction"].to_numpy()
    assert np.array_equal(read, np.column_stack([[0, 0], PREDICTED]))
    later = rows.with_columns(probability_pink=pl.Series([None, 0.0]))
    assert np.array_equal(
        prediction_columns.gathered(classes("pink", "red", "green", "blue"), later)["prediction"].to_numpy(), read
    )


def test_the_probabilities_of_a_removed_class_are_left_out() -> None:
    rows = pl.DataFrame(pa.table(prediction_columns.written(COLOURS, np.array([[0.2, 0.5, 0.3], [0, 0, 1.0]]))))
    read = prediction_columns.gathered(classes("red", "green"), rows)["prediction"].to_numpy()
    assert read == pytest.approx(np.array([[2 / 7, 5 / 7], [0.5, 0.5]]))


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    rows = np.array([[0.25, 0.5, 0.25 + 5e-10], [0.2, 0.2, 0.2]])
    together = prediction_columns.aligned(COLOURS, COLOURS.classes, rows)
    alone = [prediction_columns.aligned(COLOURS, COLOURS.classes, row[None])[0] for row in rows]
    assert np.array_equal(together, alone)


def test_what_is_no_number_stays_none() -> None:
    nothing = np.array([[np.nan] * 3, [0.2, 0.5, 0.3]])
    aligned = prediction_columns.aligned(COLOURS, COLOURS.classes, nothing)
    assert np.isnan(aligned[0]).all()
    assert np.array_equal(aligned[1], nothing[1])
    rows = pl.DataFrame(pa.table(prediction_columns.written(COLOURS, PREDICTED)))
    failed = pl.concat([rows, pl.DataFrame({name: [None] for name in rows.columns}, schema=rows.schema)])
    assert np.isnan(prediction_columns.gathered(COLOURS, failed)["prediction"].to_numpy()[-1]).all()


def test_columns_of_removed_classes_are_known() -> None:
    assert prediction_columns.is_of_removed_class(classes("red", "green"), "probability_blue")
    assert not prediction_columns.is_of_removed_class(COLOURS, "probability_blue")
    assert not prediction_columns.is_of_removed_class(BINARY, "probability_blue")


def test_an_estimator_is_aligned_by_the_names_that_it_was_fitted_on() -> None:
    aligned = prediction_columns.aligned(COLOURS, np.array(["blue", "red"]), np.array([[0.9, 0.1]]))
    assert aligned.tolist() == [[0.1, 0.0, 0.9]]
    with pytest.raises(PerennialError, match="the estimator knows 0, 1, none of which is a declared class"):
        prediction_columns.aligned(COLOURS, [0, 1], np.array([[0.9, 0.1]]))


def test_of_no_rows_there_are_no_predictions() -> None:
    rows = pl.DataFrame(pa.table(prediction_columns.written(COLOURS, PREDICTED[:0])))
    assert prediction_columns.gathered(COLOURS, rows)["prediction"].to_numpy().shape == (0, 3)
