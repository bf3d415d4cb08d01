"""Which runs may be asked for."""

from __future__ import annotations

import pytest

from perennial import discovery
from perennial.errors import InvalidParams
from perennial.runs.trigger import check_request

FLIGHTS = discovery.load("flights")


def test_predicting_ahead_may_be_started_where_the_use_case_has_it() -> None:
    check_request(FLIGHTS, "ahead", None, {})


def test_predicting_ahead_takes_no_partition() -> None:
    with pytest.raises(InvalidParams, match="ahead runs on what is still to come"):
        check_request(FLIGHTS, "ahead", "2013-01", {})


def test_predicting_ahead_is_not_there_where_it_is_not_declared() -> None:
    examples = FLIGHTS.examples.model_copy(update={"ahead": None})
    with pytest.raises(InvalidParams, match="has no pipeline 'ahead': it predicts nothing ahead"):
        check_request(FLIGHTS.model_copy(update={"examples": examples}), "ahead", None, {})


def test_the_pipelines_of_the_use_case_are_listed() -> None:
    with pytest.raises(InvalidParams) as raised:
        check_request(FLIGHTS, "nothing", None, {})
    assert raised.value.fix.endswith("champion, rollout, ahead.")
