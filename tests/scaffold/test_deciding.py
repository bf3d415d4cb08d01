"""What was found becomes a design that holds for all of the data, or an answer that says what is wrong or missing."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import new_cases
import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from new_cases import about, answering, bundled, design, feature_names

from perennial.errors import InvalidParams
from perennial.scaffold import rendering
from perennial.scaffold.design import Design

RANDOM = np.random.default_rng(5)


def series(rows: int = 400, every: str = "6h", **columns: Any) -> pd.DataFrame:
    """One series with a regression label `y`; columns may be arrays of `rows` values."""
    random = np.random.default_rng(rows)
    at = pd.date_range("2024-01-01", periods=rows, freq=every)
    return pd.DataFrame({"at": at, "x": random.normal(size=rows), "y": random.normal(size=rows)} | columns)


def refused(frame: pd.DataFrame, folder: Path, **wishes: Any) -> str:
    """The answer to data that does not do, with its fix."""
    with pytest.raises(InvalidParams) as caught:
        design(new_cases.csv(frame, folder), **wishes)
    assert caught.value.fix
    return f"{caught.value.problem} {caught.value.fix}"


def design_or_answer(data: str, **wishes: Any) -> Design | InvalidParams:
    try:
        return design(data, **wishes)
    except InvalidParams as answer:
        return answer


shapes = st.fixed_dictionaries(
    {
        "rows": st.integers(20, 600),
        "span": st.sampled_from(["5h", "40h", "9d", "70d", "300d", "2000d"]),
        "keys": st.integers(0, 8),
        "resolution": st.sampled_from(["us", "s", "min", "h", "D"]),
        "label": st.sampled_from(["number", "two words", "zero and one", "one value", "five words", "half empty"]),
        "ties": st.booleans(),
        "seed": st.integers(0, 10**6),
    }
)


def shaped(rows: int, span: str, keys: int, resolution: str, label: str, ties: bool, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    seconds = random.uniform(0, pd.Timedelta(span).total_seconds(), rows)
    at = (pd.Timestamp("2023-03-05") + pd.to_timedelta(seconds, unit="s")).floor(resolution)
    labels: dict[str, Any] = {
        "number": random.normal(size=rows),
        "two words": random.choice(["good", "bad"], rows),
        "zero and one": random.integers(0, 2, rows),
        "one value": np.ones(rows),
        "five words": random.choice(list("abcde"), rows),
        "half empty": np.where(random.random(rows) < 0.5, np.nan, random.normal(size=rows)),
    }
    frame = pd.DataFrame({"at": at, "a b": random.normal(size=rows), "word": random.choice(["u", "v", None], rows)})
    frame["label"] = labels[label]
    if keys:
        frame["shop"] = random.integers(0, keys, rows).astype(str)
    return pd.concat([frame, frame.head(5)]) if ties else frame


@settings(max_examples=examples(30), deadline=None)
@given(shapes)
def test_any_data_gives_a_full_design_or_a_clear_answer(shape: dict[str, Any]) -> None:
    frame = shaped(**shape)
    with tempfile.TemporaryDirectory() as folder:
        data = new_cases.csv(frame, Path(folder))
        made = design_or_answer(data, key=["shop"] if shape["keys"] else [], no_key=not shape["keys"], label="label")
    if isinstance(made, InvalidParams):
        assert made.fix
        assert "\n" not in made.problem
        return
    assert sum(made.cuts.rows) == made.rows == len(frame)
    assert made.cuts.is_mostly_filled
    assert made.policy.initial_partitions < len(made.cuts.partitions)
    assert made.known_after > timedelta(0)
    assert made.policy.holdout >= 5 * made.policy.block
    assert (
        bool(made.row_key)
        != frame.assign(at=frame["at"].astype(str)).duplicated(["at", "shop"] if shape["keys"] else ["at"]).any()
    )
    for path, content in rendering.files(made).items():
        if path.endswith(".py"):
            compile(content, path, "exec")
            assert max(map(len, content.splitlines())) <= 120


@pytest.mark.parametrize(
    ("span_days", "cadence"), [(1, "hourly"), (20, "daily"), (39, "daily"), (200, "weekly"), (700, "monthly")]
)
def test_the_cadence_gives_a_replay_some_partitions(tmp_path: Path, span_days: int, cadence: str) -> None:
    rows = span_days * 144
    made = design(new_cases.csv(series(rows, "10min"), tmp_path), label="y")
    assert made.cuts.cadence == cadence
    assert 6 <= len(made.cuts.partitions) <= 40
    assert "partitions of" in next(each.why for each in made.assumptions if each.about == "cadence")


@pytest.mark.parametrize("name", ["moment", "Moment", "rowid", "each_row"])
@pytest.mark.parametrize("is_time", [True, False])
def test_a_column_named_as_what_we_ask_with_is_a_column(tmp_path: Path, name: str, is_time: bool) -> None:
    rows = series(400, "1D")
    plain = design(new_cases.csv(rows, tmp_path), label="y", time="at")
    at = pd.to_datetime(rows["at"])
    rows[name] = at + pd.Timedelta(days=200) if is_time else range(len(rows))
    made = design(new_cases.csv(rows, tmp_path), label="y", time="at")
    assert made.cuts.partitions == plain.cuts.partitions


def test_ten_rows_are_too_few(tmp_path: Path) -> None:
    assert "10 rows have a label" in refused(series(10, "1D"), tmp_path, label="y")


def test_a_single_class_is_nothing_to_learn(tmp_path: Path) -> None:
    assert "nothing to learn" in refused(series(y="no"), tmp_path, label="y")


def test_the_positive_value_is_the_one_in_the_data(tmp_path: Path) -> None:
    words = series(y=["Late", "late", "On time", "Late"] * 100)
    assert design(new_cases.csv(words, tmp_path), label="y", positive="Late").label.positive == "Late"
    assert "may be 'Late' or 'late'" in refused(words, tmp_path, label="y", positive="LATE")


@pytest.mark.parametrize(
    ("values", "wanted", "meant"),
    [(["yes", "no"], "yes", True), (["yes", "no"], "NO", False), ([1.0, 0.0], "1", 1), (["1.5", "0.5"], "1.50", 1.5)],
)
def test_a_value_is_named_as_the_data_or_a_person_writes_it(
    tmp_path: Path, values: list[Any], wanted: str, meant: Any
) -> None:
    made = design(new_cases.csv(series(y=values * 200), tmp_path), label="y", positive=wanted)
    assert made.label.positive == meant


def test_no_time_is_no_use_case(tmp_path: Path) -> None:
    assert "holds the time of a row" in refused(series().drop(columns="at"), tmp_path, label="y")


def test_more_gaps_than_partitions_are_named_with_what_to_do(tmp_path: Path) -> None:
    frame = series(600, "1D")
    answer = refused(frame[(frame["at"] < "2024-03-01") | (frame["at"] >= "2024-12-01")], tmp_path, label="y")
    assert "9 have no rows (2024-03, 2024-04, 2024-05, 2024-06, 2024-07 and 4 more)" in answer
    assert "--since" in answer


def test_a_cadence_with_gaps_is_used_only_if_requested(tmp_path: Path) -> None:
    frame = series(180, "1D")
    data = new_cases.csv(frame[frame["at"].dt.dayofweek < 6], tmp_path)
    assert design(data, label="y", no_key=True).cuts.empty == []
    made = design(data, label="y", no_key=True, cadence="daily")
    assert len(made.cuts.empty) == 25
    assert "2024-01-07, 2024-01-14" in next(each.why for each in made.assumptions if "without rows" in each.about)
    assert made.policy.batch_rows == 0


def test_a_stretch_without_gaps_can_be_taken(tmp_path: Path) -> None:
    frame = series(900, "1D")
    data = new_cases.csv(frame[(frame["at"] < "2024-05-01") | (frame["at"] >= "2024-09-01")], tmp_path)
    made = design(data, label="y", since="2024-09-01")
    assert (made.first, made.cuts.empty) == ("2024-09", [])
    assert about(made, "rows") == f"121 of {900 - 123} are left out"


@pytest.mark.parametrize(
    ("written", "last_day", "other"),
    [
        ("%d/%m/%Y", 12, "%m/%d/%Y"),
        ("%d/%m/%y", 12, "%y/%m/%d"),
        ("%m/%d/%y", 12, "%d/%m/%y"),
        ("%d/%m/%y", 31, "%y/%m/%d"),  # a year like 24 may be a day
        ("%y/%m/%d", 31, "%d/%m/%y"),
    ],
)
def test_days_that_may_be_read_two_ways_are_not_guessed(
    tmp_path: Path, written: str, last_day: int, other: str
) -> None:
    days = pd.date_range("2024-01-01", periods=400, freq="D")
    days = days[days.day <= last_day]
    frame = series(len(days)).assign(at=days.strftime(written))
    answer = refused(frame, tmp_path, label="y")
    assert "--time-format" in answer
    assert other in answer
    made = design(new_cases.csv(frame, tmp_path), label="y", time="at", time_format=written)
    assert (made.time.low.date(), made.time.high.date()) == (days[0].date(), days[-1].date())


def test_values_read_as_thousands_or_missing_are_reported(tmp_path: Path) -> None:
    frame = series(400).assign(amount=["999", "1.234", "50.123", "7"] * 100, y=list(range(400)))
    frame["x"] = ["EU", "NA", "APAC", "EU"] * 100
    made = design(new_cases.csv(frame, tmp_path, sep=";"), label="y", task="regression")
    told = [each.what for each in made.assumptions if each.about == "values"]
    assert told == ["100 values of 'x' are read as missing", "'amount' has a decimal comma"]


@pytest.mark.parametrize(
    ("sep", "taken", "other"),
    [
        (";", "'amount' has a decimal comma: '1,234' is 1.234", "if '1,234' is 1234"),
        ("\t", "'amount' has commas between thousands: '1,234' is 1234", "if '1,234' is 1.234"),
    ],
)
def test_an_ambiguous_comma_is_reported_with_both_readings(tmp_path: Path, sep: str, taken: str, other: str) -> None:
    frame = series(amount=["1,234", "50,123"] * 200, y=list(range(400))).drop(columns="x")
    made = design(new_cases.csv(frame, tmp_path, sep=sep), label="y", task="regression")
    (told,) = (each for each in made.assumptions if each.about == "values")
    assert told.what == taken
    assert other in told.why


def test_an_amount_of_thousands_only_is_reported_with_both_readings(tmp_path: Path) -> None:
    frame = series(amount=["1.234 €", "50.123 €"] * 200, y=list(range(400))).drop(columns="x")
    made = design(new_cases.csv(frame, tmp_path), label="y", task="regression")
    (told,) = (each for each in made.assumptions if each.about == "values")
    assert "'1.234' is 1.234: if it is 1234, change source.py" in told.why


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_infinite_numbers_are_reported(tmp_path: Path, suffix: str) -> None:
    frame = series()
    frame.loc[[3, 7], "x"] = [np.inf, -np.inf]
    place = str(tmp_path / f"data{suffix}")
    frame.to_parquet(place, index=False) if suffix == ".parquet" else frame.to_csv(place, index=False)
    made = design(place, label="y")
    (told,) = (each for each in made.assumptions if each.about == "values")
    assert told.what == "2 values of 'x' are infinite, and read as missing"
    assert (
        '"x": Column("float64", nulls=("inf", "-inf")),' in rendering.files(made)["include/use_cases/tried/source.py"]
    )


def test_blanks_in_a_column_of_numbers_are_missing(tmp_path: Path) -> None:
    frame = series().assign(total=["1.5", " ", "20.25", "3"] * 100)
    made = design(new_cases.csv(frame, tmp_path), label="y")
    assert "total" in feature_names(made)
    assert not [each for each in made.assumptions if each.about == "values"]


@pytest.mark.parametrize(("zone", "said"), [("+02:00", "names its zone"), ("Z", "names its zone"), ("", "no zone")])
def test_how_times_become_utc_is_told_as_it_is(tmp_path: Path, zone: str, said: str) -> None:
    frame = series()
    frame["at"] = frame["at"].dt.strftime("%Y-%m-%dT%H:%M:%S") + zone
    (why,) = (
        each.why for each in design(new_cases.csv(frame, tmp_path), label="y").assumptions if "zone" in each.about
    )
    assert said in why


def test_columns_without_a_name_are_not_told_as_repeated(tmp_path: Path) -> None:
    series().to_csv(tmp_path / "data.csv")
    text = (tmp_path / "data.csv").read_text().replace(",at,x,y", ",at,x,y,x", 1).replace("\n", ",1\n")
    (tmp_path / "data.csv").write_text(text.replace("y,x,1\n", "y,x\n", 1))
    notes = {each.what: each.why for each in design(str(tmp_path / "data.csv"), label="y").assumptions}
    assert notes["columns without a name are called by their position"] == "column0"
    assert notes["columns with the same name are numbered"] == "x_1"


def test_several_times_or_no_label_are_asked_about(tmp_path: Path) -> None:
    frame = series().assign(paid_at=pd.Timestamp("2024-02-01"))
    frame["paid_at"] += pd.to_timedelta(np.arange(len(frame)), unit="h")
    assert "--time" in refused(frame, tmp_path, label="y")
    assert "--label" in refused(series().rename(columns={"y": "height"}), tmp_path)
    made = design(new_cases.csv(frame.rename(columns={"y": "height"}), tmp_path), ask=answering("at", "height"))
    assert (made.time.source, made.label.column.source) == ("at", "height")


def test_of_several_classes_one_or_all_are_asked_about(tmp_path: Path) -> None:
    frame = series(y=RANDOM.choice(["red", "green", "blue"], 400))
    assert "--positive" in refused(frame, tmp_path, label="y")
    made = design(new_cases.csv(frame, tmp_path), label="y", positive="Red")
    assert (made.task, made.label.positive) == ("binary", "red")
    assert made.label.rate == pytest.approx((frame["y"] == "red").mean())
    made, shares = design(new_cases.csv(frame, tmp_path), label="y", task="multiclass"), frame["y"].value_counts() / 400
    assert (made.task, dict(made.label.classes)) == ("multiclass", {name: name for name in shares.index})
    assert made.label.rate == pytest.approx(shares.max())
    assert made.label.spread == pytest.approx(-(shares * np.log(shares)).sum())


def test_classes_get_names_that_columns_may_have(tmp_path: Path) -> None:
    values = ["red", "Red", "RED", "blue"]
    made = design(new_cases.csv(series(y=np.repeat(values, 100)), tmp_path), label="y", task="multiclass")
    assert dict(made.label.classes) == {"RED": "RED", "Red": "red_2", "blue": "blue", "red": "red_3"}
    values = ["on time", "On-Time", "late", "7"]
    made = design(new_cases.csv(series(y=np.repeat(values, 100)), tmp_path), label="y", task="multiclass")
    assert dict(made.label.classes) == {"7": "c_7", "On-Time": "on_time", "late": "late", "on time": "on_time_2"}
    assert "c_7 (100 rows)" in about(made, "classes")


def test_a_column_that_tells_one_of_the_classes_is_a_suspect(tmp_path: Path) -> None:
    frame = series(y=RANDOM.choice(["red", "green", "blue"], 400))
    frame["refund"] = np.where(frame["y"] == "blue", 9.0, 1.0) + RANDOM.uniform(size=400)
    made = design(new_cases.csv(frame, tmp_path), label="y", task="multiclass")
    assert "nearly perfectly" in made.left_out["refund"]


def test_whole_numbers_that_may_be_classes_are_asked_about(tmp_path: Path) -> None:
    data = new_cases.csv(bundled("wine"), tmp_path)
    with pytest.raises(InvalidParams, match="amounts, or names of classes"):
        design(data)
    assert design(data, task="regression").task == "regression"
    assert list(design(data, task="multiclass").label.classes.values()) == ["c_1", "c_0", "c_2"]
    assert design(data, positive="2").label.rate == pytest.approx(48 / 178)
    assert design(data, ask=answering("class 1")).label.positive == 1


@pytest.mark.parametrize(
    ("values", "positive"), [(["yes", "no"], True), (["0", "1"], 1), (["positive", "negative"], "positive")]
)
def test_which_of_two_is_meant_is_derived_from_words(tmp_path: Path, values: list[str], positive: object) -> None:
    made = design(new_cases.csv(series(y=RANDOM.choice(values, 400)), tmp_path), label="y")
    assert made.label.positive == positive
    assert about(made, "positive") == str(positive)


def test_which_of_two_is_meant_is_asked_where_words_do_not(tmp_path: Path) -> None:
    assert "--positive" in refused(series(y=RANDOM.choice(["cat", "dog"], 400)), tmp_path, label="y")


def test_leaking_columns_are_left_out_unless_kept(tmp_path: Path) -> None:
    frame = series(1000, "3h")
    frame = frame.assign(
        same=frame["y"],
        double=frame["y"] * 2 + 1,
        nearly=frame["y"] + RANDOM.normal(0, 0.05, 1000),
        related=frame["y"] + RANDOM.normal(0, 1, 1000),
        settled=frame["at"] + pd.Timedelta("30D"),
    )
    frame.loc[::4, "y"] = np.nan
    frame["refund"] = np.where(frame["y"].notna(), RANDOM.normal(size=1000), np.nan)
    data = new_cases.csv(frame, tmp_path)
    made = design(data, time="at", label="y")
    assert feature_names(made) == ["x", "related"]
    assert "copy of the label" in made.left_out["same"]
    assert "in proportion to the label" in made.left_out["double"]
    assert "predicts the label nearly perfectly" in made.left_out["nearly"]
    assert "filled only where the label is" in made.left_out["refund"]
    assert "after the row's own" in made.left_out["settled"]
    assert feature_names(design(data, time="at", label="y", keep=["nearly"])) == ["x", "nearly", "related"]


def rentals(rows: int = 600) -> pd.DataFrame:
    """Rentals by the hour: their number is that of two kinds of customers taken together."""
    random = np.random.default_rng(8)
    frame = series(rows, "1h", casual=random.poisson(40, rows), registered=random.poisson(90, rows))
    return frame.assign(y=frame["casual"] + frame["registered"])


def test_two_columns_that_add_up_to_the_label_are_leaks(tmp_path: Path) -> None:
    data = new_cases.csv(rentals(), tmp_path)
    made = design(data, label="y", no_key=True)
    assert feature_names(made) == ["x"]
    assert made.left_out["casual"].startswith(
        "may leak the label: with registered it gives the label: y follows from casual + registered"
    )
    assert set(made.left_out) == {"casual", "registered"}


@pytest.mark.parametrize("option", ["drop", "later"])
def test_one_of_two_columns_alone_is_no_leak(tmp_path: Path, option: str) -> None:
    made = design(new_cases.csv(rentals(), tmp_path), label="y", no_key=True, **{option: ["registered"]})
    assert feature_names(made) == ["x", "casual"]


def test_a_class_that_a_column_gives_away_is_a_leak(tmp_path: Path) -> None:
    frame = series(y=RANDOM.choice(["yes", "no"], 400))
    frame["code"] = np.where(frame["y"] == "yes", RANDOM.choice(["A", "B"], 400), RANDOM.choice(["C", "D"], 400))
    frame["ended"] = np.where(frame["y"] == "yes", RANDOM.normal(size=400), np.nan)
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x"]
    assert set(made.left_out) == {"code", "ended"}


def test_noise_is_no_leak(tmp_path: Path) -> None:
    noise = {f"n{number}": RANDOM.normal(size=400) for number in range(10)}
    assert not design(new_cases.csv(series(**noise), tmp_path), label="y").left_out


def test_constants_names_and_free_text_are_no_features(tmp_path: Path) -> None:
    words = [f"said {number}" for number in range(400)]
    made = design(new_cases.csv(series(same=1, remark=words, empty=None), tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x"]
    assert set(made.left_out) == {"same", "remark", "empty"}


def test_a_key_with_one_row_per_time_is_reported(tmp_path: Path) -> None:
    made = design(new_cases.csv(new_cases.sales(), tmp_path), label="Revenue")
    assert [key.source for key in made.keys] == ["Store Name"]
    assert about(made, "key") == "Store Name"
    assert made.row_key == ("store_name", "day")
    assert about(made, "identity") == "Store Name and Day"
    assert [span.name for span in made.spans] == ["7d", "28d"]


def with_gaps(share: float) -> pd.DataFrame:
    """Five stores with a row each at each moment; some rows do not say which."""
    frame = pd.concat([series(300, "6h").assign(store=f"s{number}") for number in range(5)], ignore_index=True)
    frame["x"], frame["y"] = RANDOM.normal(size=(2, len(frame)))
    frame.loc[: int(share * len(frame)) - 1, "store"] = None
    return frame.sample(frac=1, random_state=1)


def test_a_key_that_lacks_some_values_is_asked_about(tmp_path: Path) -> None:
    answer = refused(with_gaps(0.02), tmp_path, label="y")
    assert "store (300 rows each, 30 rows have none)" in answer
    assert "--key COLUMN" in answer
    assert "fill the key in the data" in answer
    assert [key.name for key in design(new_cases.csv(with_gaps(0.001), tmp_path), label="y").keys] == ["store"]


def test_a_given_key_that_lacks_values_is_told_with_why_it_identifies_no_row(tmp_path: Path) -> None:
    made = design(new_cases.csv(with_gaps(0.02), tmp_path), label="y", key=["store"])
    told = {each.about: each for each in made.assumptions}
    assert told["key"].what == "30 rows have no store"
    assert "store and the time would identify a row, but 30 rows have no store" in told["identity"].why


def test_a_key_that_lacks_many_values_is_told(tmp_path: Path) -> None:
    made = design(new_cases.csv(with_gaps(0.3), tmp_path), label="y")
    (why,) = (each.why for each in made.assumptions if each.about == "key")
    assert why == "no column without gaps (store lacks 30% of its values) repeats like one; all rows are one series"


def test_a_column_that_is_one_each_by_chance_is_asked_about(tmp_path: Path) -> None:
    zones = np.random.default_rng(2).permutation([f"zone {number}" for number in range(80)] * 5)
    frame = series(every="5h", zone=zones)
    frame.loc[[11, 51], "at"] = frame.loc[[10, 50], "at"].to_numpy()
    frame.loc[[10, 11, 50, 51], "zone"] = ["zone 1", "zone 2"] * 2
    assert "zone (5 rows each)" in refused(frame, tmp_path, label="y")


@pytest.mark.parametrize("every", ["D", "B", "MS", "15min"])
def test_rows_at_equal_intervals_are_one_series(tmp_path: Path, every: str) -> None:
    frame = series(every=every, weather=RANDOM.choice(["sun", "rain"], 400)).drop(index=[50, 51, 90])
    made = design(new_cases.csv(frame, tmp_path), label="y")
    (key,) = (each for each in made.assumptions if each.about == "key")
    assert (key.what, key.option) == ("none", "--key")
    assert "equal intervals" in key.why


def test_rows_at_equal_intervals_with_a_key_are_asked_about(tmp_path: Path) -> None:
    frame = series(every="15min", sensor=["a", "b"] * 200)
    assert "sensor (200 rows each)" in refused(frame, tmp_path, label="y")


def by_hour(form: str) -> pd.DataFrame:
    frame = series(600, "h")
    return frame.assign(at=frame["at"].dt.strftime("%d/%m/%Y"), clock=frame["at"].dt.strftime(form))


@pytest.mark.parametrize("form", ["%H.%M.%S", "%H:%M", "%I:%M %p"])
def test_times_of_day_beside_days_are_reported_and_no_key(tmp_path: Path, form: str) -> None:
    made = design(new_cases.csv(by_hour(form), tmp_path), label="y", time_format="%d/%m/%Y", time="at")
    assert made.keys == ()
    (told,) = (each for each in made.assumptions if each.what == "the day alone, 'at'")
    assert "'clock' holds times of day" in told.why


def test_days_and_times_of_day_identify_rows(tmp_path: Path) -> None:
    made = design(new_cases.csv(by_hour("%H:%M"), tmp_path), label="y", time_format="%d/%m/%Y", time="at")
    assert made.row_key == ("clock", "at")


def test_hours_beside_days_are_reported(tmp_path: Path) -> None:
    frame = by_hour("%H:%M").assign(clock=[*range(24)] * 25).rename(columns={"clock": "hr"})
    made = design(new_cases.csv(frame, tmp_path), label="y", time_format="%d/%m/%Y", time="at")
    assert "the day alone, 'at'" in [each.what for each in made.assumptions]


def test_columns_that_may_be_keys_are_asked_about(tmp_path: Path) -> None:
    frame = series(region=RANDOM.choice(["n", "s"], 400), customer_id=RANDOM.integers(0, 20, 400))
    answer = refused(frame, tmp_path, label="y")
    assert "region" in answer
    assert "customer_id" in answer
    assert not design(new_cases.csv(frame, tmp_path), label="y", no_key=True).keys


def test_a_key_of_single_rows_or_no_key_is_reported(tmp_path: Path) -> None:
    frame = series(order_id=np.arange(400))
    by_order = design(new_cases.csv(frame, tmp_path), label="y", key=["order_id"])
    assert [key.name for key in by_order.keys] == ["order_id"]
    assert about(by_order, "past") == "features of the past are mostly missing"
    made = design(new_cases.csv(frame, tmp_path), label="y")
    assert made.keys == ()
    assert about(made, "key") == "none"


def twice_a_moment(**columns: Any) -> pd.DataFrame:
    """A series with two rows at each moment."""
    return pd.concat([series(200, "12h")] * 2, ignore_index=True).assign(**columns)


#: 400 values each, none of them twice.
DIFFERENT: dict[str, list[Any]] = {
    "whole": np.random.default_rng(1).permutation(10**6)[:400].tolist(),
    "decimal": np.random.default_rng(2).normal(size=400).tolist(),
    "partly words": [*np.random.default_rng(3).normal(size=300), *(f"none {number}" for number in range(100))],
    "counted": np.random.default_rng(4).permutation(range(7, 407)).tolist(),
    "words": [f"x{number}" for number in range(400)],
}


@pytest.mark.parametrize("kind", ["whole", "decimal", "partly words"])
def test_a_measure_whose_values_happen_to_differ_is_no_key(tmp_path: Path, kind: str) -> None:
    made = design(new_cases.csv(twice_a_moment(weight=DIFFERENT[kind]), tmp_path), label="y", no_key=True)
    assert (made.row_key, about(made, "identity")) == ((), "row_id")


@pytest.mark.parametrize(("name", "kind"), [("Ticket No", "whole"), ("line", "counted"), ("hash", "words")])
def test_a_column_that_identifies_rows_alone_is_the_key(tmp_path: Path, name: str, kind: str) -> None:
    made = design(new_cases.csv(twice_a_moment(**{name: DIFFERENT[kind]}), tmp_path), label="y", no_key=True)
    assert (len(made.row_key), about(made, "identity")) == (1, name)


def test_an_identifier_is_taken_before_a_time_distinct_by_chance(tmp_path: Path) -> None:
    frame = series(id=np.random.default_rng(6).permutation(10**6)[:400])
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    assert made.row_key == ("id",)
    assert made.left_out == {"id": "tells rows apart"}


def test_a_row_number_is_not_taken_before_key_and_time(tmp_path: Path) -> None:
    made = design(new_cases.csv(series(row_no=range(400)), tmp_path), label="y", no_key=True)
    assert made.row_key == ("at",)


def test_a_column_named_like_a_key_is_taken_before_another(tmp_path: Path) -> None:
    words = [f"said {number}" for number in range(400)]
    made = design(new_cases.csv(twice_a_moment(remark=words, id=words), tmp_path), label="y", no_key=True)
    assert made.row_key == ("id",)


def test_what_is_known_later_identifies_no_row(tmp_path: Path) -> None:
    frame = twice_a_moment(receipt=[f"r{number}" for number in range(400)])
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True, later=["receipt"])
    assert made.row_key == ()


def test_a_measure_with_some_words_is_no_key_with_a_past(tmp_path: Path) -> None:
    frame = series(weight=[*["1.5", "2.5"] * 150, *["unknown"] * 100])
    assert design(new_cases.csv(frame, tmp_path), label="y").keys == ()


@pytest.mark.parametrize(
    ("every", "known_after"),
    [("1D", timedelta(days=1)), ("1h", timedelta(hours=1)), ("MS", timedelta(days=28)), ("W", timedelta(days=7))],
)
def test_what_is_of_a_day_is_known_after_the_day(tmp_path: Path, every: str, known_after: timedelta) -> None:
    stores = pd.concat([series(60, every).assign(store=f"s{number}") for number in range(9)])
    made = design(new_cases.csv(stores, tmp_path), label="y", key=["store"])
    assert made.known_after == known_after
    assert design(new_cases.csv(stores, tmp_path), label="y", key=["store"], label_after="36h").known_after == (
        timedelta(hours=36)
    )


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"label": "z"}, "no such column"),
        ({"label": "y", "time": "x"}, "holds numbers, no times"),
        ({"label": "at"}, "is the time"),
        ({"label": "y", "task": "multiclass"}, "holds numbers, no names of classes"),
        ({"label": "y", "task": "ranking"}, "binary, multiclass and regression"),
        ({"label": "y", "task": "binary"}, "not two"),
        ({"label": "y", "key": ["x"]}, "keys are whole numbers or text"),
        ({"label": "y", "cadence": "yearly"}, "hourly, daily, weekly, monthly"),
        ({"label": "y", "label_after": "soon"}, "30m, 6h, 1d or 4w"),
        ({"label": "y", "since": "spring"}, "2024-01-31"),
        ({"label": "y", "since": "2030-01-01"}, "No row is between"),
        ({"label": "y", "keep": ["w"]}, "no such column"),
    ],
    ids=str,
)
def test_a_request_that_does_not_fit_is_explained(tmp_path: Path, wishes: dict[str, Any], said: str) -> None:
    assert said in refused(series(), tmp_path, **wishes)


@pytest.mark.parametrize(
    ("option", "wish"),
    [
        ("--time at", {"time": "at", "drop": ["at"]}),
        ("--key shop", {"key": ["shop"], "drop": ["shop"]}),
        ("--label y", {"label": "y", "drop": ["y"]}),
        ("--later x", {"later": ["x"], "drop": ["x"]}),
        ("--keep x", {"keep": ["x"], "drop": ["x"]}),
    ],
)
def test_a_dropped_but_requested_column_names_both_options(tmp_path: Path, option: str, wish: dict[str, Any]) -> None:
    frame = series(shop=["north", "south"] * 200)
    assert f"{option} and --drop {option.split()[1]} exclude" in refused(frame, tmp_path, **{"label": "y"} | wish)


def test_what_is_dropped_is_not_taken_for_the_time(tmp_path: Path) -> None:
    frame = series().assign(paid=lambda frame: frame["at"] + pd.Timedelta("1D"))
    made = design(new_cases.csv(frame, tmp_path), label="y", drop=["paid"])
    assert (made.time.source, about(made, "time")) == ("at", "at")


def test_what_is_dropped_is_not_taken_for_the_label(tmp_path: Path) -> None:
    made = design(new_cases.csv(series(target=RANDOM.normal(size=400)), tmp_path), drop=["y"])
    assert made.label.column.source == "target"


def test_what_is_dropped_is_not_taken_for_the_key(tmp_path: Path) -> None:
    frame = new_cases.sales()
    frame["Branch"] = frame["Store Name"].str.replace("store", "branch")
    made = design(new_cases.csv(frame, tmp_path), label="Revenue", drop=["Store Name"])
    assert [key.source for key in made.keys] == ["Branch"]
    assert made.left_out["Store Name"] == "was dropped (--drop)"


def test_what_is_dropped_does_not_identify_rows(tmp_path: Path) -> None:
    frame = twice_a_moment(id=DIFFERENT["words"], code=DIFFERENT["words"])
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True, drop=["id"])
    assert made.row_key == ("code",)


def test_only_numeric_later_columns_are_listed_as_features(tmp_path: Path) -> None:
    frame = series(paid=RANDOM.normal(size=400), clerk=["ann", "bob"] * 200, ended=pd.Timestamp("2024-01-01"))
    frame["ended"] += pd.to_timedelta(np.arange(400), unit="h")
    wishes = {"time": "at", "label": "y", "no_key": True, "later": ["paid", "clerk", "ended"]}
    made = design(new_cases.csv(frame, tmp_path), **wishes)
    assert [column.source for column in made.later] == ["paid"]
    assert made.left_out == {
        "paid": "is known only later (--later): only its past is a feature",
        "clerk": "is known only later (--later), and its past is no feature either: it holds text",
        "ended": "is known only later (--later), and its past is no feature either: it holds times",
    }


RARE = {
    "words": ["yes", "no", *["yes", "no", "yes"] * 6, "maybe"] * 20,
    "numbers": ["1", "0", *["1", "0", "1"] * 6, "maybe"] * 20,
}


@pytest.mark.parametrize(("kind", "one"), [("words", "yes"), ("numbers", "1")])
def test_a_refused_rare_third_class_is_named_and_counted(tmp_path: Path, kind: str, one: str) -> None:
    answer = refused(series(420, y=RARE[kind]), tmp_path, label="y", no_key=True)
    assert f"more than two classes ({one} in 260 rows" in answer
    assert "maybe in 20 rows" in answer
    assert "--positive" in answer


@pytest.mark.parametrize(("kind", "one", "other"), [("words", "yes", "no"), ("numbers", "1", "0")])
def test_one_of_three_classes_can_be_positive(tmp_path: Path, kind: str, one: str, other: str) -> None:
    made = design(new_cases.csv(series(420, y=RARE[kind]), tmp_path), label="y", no_key=True, positive=one)
    assert (made.label.missing, made.label.rate) == (0, pytest.approx(260 / 420))
    assert about(made, "other labels") == f"{other}, maybe are 0"


def test_a_numeric_label_with_words_is_refused_unless_dropped(
    tmp_path: Path,
) -> None:
    frame = series(y=[*np.arange(392) / 8, *["pending"] * 5, *["?"] * 3])
    answer = refused(frame, tmp_path, label="y", no_key=True)
    assert "holds numbers, but not only: pending in 5 rows, ? in 3 rows" in answer
    assert "--task regression" in answer
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True, task="regression")
    assert made.label.rows == 392
    assert about(made, "values") == "8 values of 'y' are read as missing"


def test_a_binary_task_of_three_values_names_them(tmp_path: Path) -> None:
    answer = refused(series(420, y=RARE["words"]), tmp_path, label="y", no_key=True, task="binary")
    assert "yes in 260 rows, no in 140 rows, maybe in 20 rows" in answer


def test_after_dropping_the_key_no_other_is_proposed(tmp_path: Path) -> None:
    made = design(new_cases.csv(new_cases.sales(), tmp_path), label="Revenue", drop=["Store Name"])
    assert [each.why for each in made.assumptions if each.about == "key"] == [
        "no other column repeats like one; all rows are one series"
    ]


COUNTERS: dict[str, Any] = {
    "Unnamed: 0": np.random.default_rng(1).permutation(10_000)[:400],
    "index": np.arange(400),
    "instant": np.arange(1, 401),
    "shuffled": np.random.default_rng(2).permutation(400),
    "as decimals": np.arange(400) / 1.0,
}


@pytest.mark.parametrize("name", COUNTERS)
def test_a_row_number_is_no_feature_nor_expected(tmp_path: Path, name: str) -> None:
    data = new_cases.csv(series(**{name: COUNTERS[name]}), tmp_path)
    made = design(data, label="y", no_key=True)
    assert feature_names(made) == ["x"]
    assert made.left_out[name].startswith("numbers the rows")
    (numbered,) = made.numbering
    ranges = rendering.files(made)["include/use_cases/tried/expectations.py"].partition("FILLED")[0]
    assert '"x"' in ranges
    assert f'"{numbered}"' not in ranges
    assert feature_names(design(data, label="y", no_key=True, keep=[name])) == ["x", name]


def test_the_index_of_a_frame_is_no_feature(tmp_path: Path) -> None:
    frame = series().sample(frac=1, random_state=1).sort_values("x")
    frame.to_csv(tmp_path / "data.csv")
    made = design(str(tmp_path / "data.csv"), label="y", no_key=True)
    assert feature_names(made) == ["x"]


def test_a_row_number_of_each_file_is_no_feature(tmp_path: Path) -> None:
    for number in range(4):
        part = series().iloc[number * 100 : number * 100 + 100]
        new_cases.csv(part.assign(n=range(100), hour=part["at"].dt.hour), tmp_path, f"{number}.csv")
    made = design(str(tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x", "hour"]
    assert "numbers the rows of each file" in made.left_out["n"]


def test_what_only_rises_with_time_is_no_feature(tmp_path: Path) -> None:
    frame = series(every="3D").sample(frac=1, random_state=4)
    age = (frame["at"] - frame["at"].min()).dt.days
    frame = frame.assign(odometer=age * 31.5, countdown=-age, yr=frame["at"].dt.year - 2024, moon=age % 29)
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x", "moon"]
    assert "never falls" in made.left_out["odometer"]
    assert "never rises" in made.left_out["countdown"]
    assert "is the year" in made.left_out["yr"]


def test_moments_without_a_value_hide_no_rise(tmp_path: Path) -> None:
    frame = series().assign(level=[1.5, None, 20.25, 3] * 100)
    assert "level" in feature_names(design(new_cases.csv(frame, tmp_path), label="y", no_key=True))


def test_numbers_named_like_identifiers_are_no_features(tmp_path: Path) -> None:
    frame = twice_a_moment(ticket_no=np.random.default_rng(3).integers(0, 600, 400), id=DIFFERENT["words"])
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x"]
    assert "named like an identifier" in made.left_out["ticket_no"]


def test_a_digest_of_rows_leaves_their_numbers_out(tmp_path: Path) -> None:
    frame = twice_a_moment(index=RANDOM.permutation(400), x=RANDOM.integers(0, 3, 400))
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True, keep=["x"], drop=["index"])
    assert made.numbering == ()
    made = design(new_cases.csv(frame.rename(columns={"index": "Unnamed: 0"}), tmp_path), label="y", no_key=True)
    if not made.row_key:
        assert 'LEARNT_LATER = ("y", "unnamed_0")' in rendering.files(made)["include/use_cases/tried/source.py"]


def notes(made: Design) -> list[str]:
    return [each.what for each in made.assumptions if each.about == "values"]


def sensor(**columns: Any) -> pd.DataFrame:
    """Measures of a sensor that writes -200 where it measured nothing: in the label, and in a column of wide range."""
    random = np.random.default_rng(9)
    frame = series(1_000, "1h", y=random.gamma(3.0, 0.7, 1_000), ozone=random.uniform(221, 2523, 1_000))
    frame.loc[random.random(1_000) < 0.18, "y"] = -200
    frame.loc[random.random(1_000) < 0.04, "ozone"] = -200
    return frame.assign(**columns)


def test_a_number_that_stands_for_none_is_told_label_first(tmp_path: Path) -> None:
    frame = sensor()
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    label, ozone = notes(made)
    assert label == f"{(frame['y'] == -200).sum()} values of the label 'y' are the number -200"
    assert ozone.endswith(f"values of 'ozone' ({(frame['ozone'] == -200).mean():.1%} of the rows) are the number -200")
    (why, *_) = (each.why for each in made.assumptions if each.about == "values")
    assert "leave it empty in the data, or declare it as `nulls` in source.py" in why


def test_a_number_that_stands_for_none_in_several_columns_is_told_once(tmp_path: Path) -> None:
    frame = sensor()
    made = design(new_cases.csv(frame.assign(nox=frame["ozone"]), tmp_path), label="y", no_key=True)
    _, others = notes(made)
    share = f"{(frame['ozone'] == -200).mean():.1%} of the rows"
    assert f"'ozone' ({share}) and 'nox' ({share}) are the number -200" in others


def test_words_that_may_stand_for_none_are_told_and_stay(tmp_path: Path) -> None:
    work = np.where(np.arange(400) % 10 == 0, "?", np.where(np.arange(400) % 3 == 0, "private", "state"))
    job = np.where(np.arange(400) % 8 == 0, "Unknown", np.where(np.arange(400) % 5 == 0, "sales", "clerk"))
    made = design(new_cases.csv(series(work=work, job=job, both=work), tmp_path), label="y", no_key=True)
    assert notes(made) == [
        "80 values of 'work' (10.0% of the rows) and 'both' (10.0% of the rows) are '?'",
        "50 values of 'job' (12.5% of the rows) are 'Unknown'",
    ]
    assert [each.values[-1] for each in made.features if each.source == "work"] == ["?"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.where(np.arange(400) % 20 == 0, 999, np.arange(400) % 300), "999"),
        (np.where(np.arange(400) % 20 == 0, -1, np.arange(400) % 61), "-1"),
        (np.where(np.arange(400) % 20 == 0, -999.0, np.arange(400) / 7 - 3), "-999"),
        (np.arange(400) % 61, ""),
        (np.where(np.arange(400) % 20 == 0, -1, np.arange(400) % 61 - 30), ""),
        (np.where(np.arange(400) % 2 == 0, 0.0, np.random.default_rng(1).lognormal(0, 2, 400)), ""),
        (np.where(np.arange(400) == 7, 1e9, np.arange(400) % 61), ""),
        (np.where(np.arange(400) % 20 == 0, -1, np.arange(400) % 4), ""),
    ],
)
def test_numbers_that_are_apart_and_repeated_are_told(tmp_path: Path, values: Any, told: str) -> None:
    made = design(new_cases.csv(series(measure=values), tmp_path), label="y", no_key=True)
    assert [what.rpartition(" ")[2] for what in notes(made)] == ([told] if told else [])


def test_an_outage_of_all_measures_is_no_leak(tmp_path: Path) -> None:
    frame = series(1_000, "1h", pressure=RANDOM.normal(size=1_000), wind=RANDOM.normal(size=1_000))
    frame.loc[RANDOM.random(1_000) < 0.04, ["x", "y", "pressure", "wind"]] = np.nan
    made = design(new_cases.csv(frame, tmp_path), label="y", no_key=True)
    assert feature_names(made) == ["x", "pressure", "wind"]


def test_an_identifier_with_some_letters_stays_text(tmp_path: Path) -> None:
    numbers = np.random.default_rng(7).integers(500_000, 560_000, 400).astype(str)
    numbers[::40] = [f"C{number}" for number in numbers[::40]]
    made = design(new_cases.csv(series(InvoiceNo=numbers, amount=[*["1.5"] * 399, "none at all"]), tmp_path), label="y")
    kinds = {column.source: column.kind for column in made.columns}
    assert (kinds["InvoiceNo"], kinds["amount"]) == ("text", "number")
