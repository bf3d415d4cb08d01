"""The first model waits for whole partitions, and for rows and blocks that its gate could decide on."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from perennial import discovery, lake
from perennial.training import first_window
from perennial.training.first_window import FirstWindow
from perennial.use_case import UseCase

FLIGHTS = discovery.load("flights")


def examples(counts: dict[str, int], rate: float = 0.3, delay: str = "1h") -> pa.Table:
    """So many examples in each month, at moments spread over its last ten days where there are few."""
    random, parts = np.random.default_rng(2), []
    for key, count in counts.items():
        partition = FLIGHTS.partition(key)
        length = (partition.end - partition.start).total_seconds() * (1 if count >= 1_000 else 0.3)
        moments = pd.Timestamp(partition.end) - pd.to_timedelta(random.uniform(1, length, count), unit="s")
        parts.append(pd.DataFrame({"event_timestamp": moments.as_unit("us"), lake.PARTITION: key}))
    frame = pd.concat(parts)
    frame["label"] = (random.random(len(frame)) < rate).astype(float)
    frame["label_timestamp"] = frame["event_timestamp"] + pd.Timedelta(delay)
    return pa.Table.from_pandas(frame, preserve_index=False)


def window(monkeypatch: pytest.MonkeyPatch, table: pa.Table | None, last: str, **retraining: object) -> FirstWindow:
    monkeypatch.setattr(lake, "read", lambda *_, **__: table)
    changed = FLIGHTS.model_copy(update={"retraining": FLIGHTS.retraining.model_copy(update=retraining)})
    return first_window.measure(changed, FLIGHTS.partition(last))


def test_two_whole_months_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = window(monkeypatch, examples({"2013-01": 4_000, "2013-02": 3_500}), "2013-02")
    assert measured == FirstWindow(2, 2, ())
    assert measured.is_enough


def test_a_stub_of_a_month_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    months = {"2013-01": 482, "2013-02": 3_500}
    measured = window(monkeypatch, examples(months), "2013-02")
    assert (measured.loaded, measured.whole, measured.is_enough) == (2, 1, False)
    assert measured.missing == ("2 are needed for the first model (the first is short, and does not count)",)
    assert window(monkeypatch, examples(months | {"2013-03": 3_500}), "2013-03").is_enough


@pytest.mark.parametrize(("counts", "whole"), [([0, 0, 900, 1_000], 2), ([400, 900, 0, 1_000], 3), ([7], 1), ([], 0)])
def test_partitions_count_from_the_first_whole_one_on(counts: list[int], whole: int) -> None:
    assert first_window._whole(counts) == whole


def test_too_few_labelled_rows_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (missing,) = window(monkeypatch, examples({"2013-01": 482}), "2013-01", initial_partitions=1).missing
    assert "200 of each are needed" in missing
    late = examples({"2013-01": 4_000, "2013-02": 4_000}, delay="90D")
    assert window(monkeypatch, late, "2013-02").missing[0].startswith("0 labelled rows to fit on and 0 in the holdout")
    (missing,) = window(
        monkeypatch, examples({"2013-01": 4_000, "2013-02": 3_500}), "2013-02", initial_rows=20_000
    ).missing
    assert missing.endswith("20000 in all")


def test_one_class_in_the_holdout_is_too_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = examples({"2013-01": 4_000, "2013-02": 3_500}, rate=0.0005)
    missing = "; ".join(window(monkeypatch, table, "2013-02").missing)
    assert "blocks of 1 day with both classes, 5 are needed" in missing


def test_without_examples_nothing_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert window(monkeypatch, None, "2013-03").missing == ("2 are needed for the first model",)


def test_the_gate_that_it_waits_for_is_the_use_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FLIGHTS.gate.block == timedelta(days=1)
    regression: UseCase = FLIGHTS.model_copy(update={"task": "regression"})
    monkeypatch.setattr(lake, "read", lambda *_, **__: examples({"2013-01": 4_000, "2013-02": 3_500}, rate=0.0))
    assert first_window.measure(regression, FLIGHTS.partition("2013-02")).is_enough
