"""What two looks at the prediction server's counters tell, and what its silence does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perennial.alerts import serving_findings
from perennial.alerts.incidents import Subject
from perennial.alerts.serving_findings import Counts, Look

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=5)
ERRORS, LATENCY = Subject("serving", "errors"), Subject("serving", "latency")
EXPOSITION = """\
# TYPE perennial_serving_requests_total counter
perennial_serving_requests_total{use_case="a",status="200"} 90
perennial_serving_requests_total{use_case="a",status="422"} 500
perennial_serving_requests_total{use_case="a",status="503"} 10
# TYPE perennial_serving_seconds histogram
perennial_serving_seconds_bucket{use_case="a",le="0.5"} 80
perennial_serving_seconds_bucket{use_case="a",le="1.0"} 85
perennial_serving_seconds_bucket{use_case="a",le="+Inf"} 90
perennial_serving_seconds_count{use_case="a"} 90
perennial_serving_seconds_sum{use_case="a"} 30
"""


def look(counts: Counts, at: datetime = SINCE) -> Look:
    return Look({"a": counts}, {"a": at}, None, True)


def test_the_counters_are_read_from_the_servers_own_text() -> None:
    assert serving_findings.parse(EXPOSITION) == {"a": Counts(requests=100, errors=10, answered=90, slow=5)}


def test_the_servers_bounds_have_the_one_from_which_on_a_request_is_slow() -> None:
    from perennial.serving import metrics

    assert serving_findings.SLOW in map(str, metrics._SECONDS)


def test_of_the_first_look_nothing_is_known() -> None:
    after, found = serving_findings.compared(Look(), {"a": Counts(100, 90)}, ["a"], NOW)
    assert found["a"].undecided == {ERRORS, LATENCY}
    assert after == look(Counts(100, 90), NOW)


@pytest.mark.parametrize(
    ("errors", "title", "severity"),
    [
        (5, "5% of requests for predictions or more failed", "warning"),
        (25, "20% of requests for predictions or more failed", "critical"),
        (100, "50% of requests for predictions or more failed", "critical"),
    ],
)
def test_failed_requests_are_told_in_steps(errors: int, title: str, severity: str) -> None:
    before = look(Counts(1000, 500, 500))
    _, found = serving_findings.compared(before, {"a": Counts(1100, 500 + errors, 600 - errors)}, ["a"], NOW)
    assert [(each.about, each.title, each.severity) for each in found["a"].findings] == [(ERRORS, title, severity)]
    assert found["a"].findings[0].evidence["share"] == errors / 100


def test_slow_answers_are_told() -> None:
    _, found = serving_findings.compared(look(Counts()), {"a": Counts(100, 0, 100, 30)}, ["a"], NOW)
    assert [each.title for each in found["a"].findings] == [
        "20% of requests for predictions or more took longer than 1 s"
    ]
    assert ERRORS in found["a"].endings


def test_between_the_limits_everything_stays_as_it_is() -> None:
    _, found = serving_findings.compared(look(Counts()), {"a": Counts(100, 4, 96)}, ["a"], NOW)
    assert found["a"].undecided == {ERRORS}
    assert LATENCY in found["a"].endings


def test_few_requests_are_waited_with_for_an_hour() -> None:
    before, counted = look(Counts()), {"a": Counts(3, 3)}
    after, found = serving_findings.compared(before, counted, ["a"], NOW)
    assert (after, found["a"].findings) == (before, ())
    after, found = serving_findings.compared(before, counted, ["a"], SINCE + timedelta(hours=1))
    assert [each.about for each in found["a"].findings] == [ERRORS]
    assert after.counts == counted
    _, found = serving_findings.compared(before, {}, ["a"], SINCE + timedelta(hours=1))
    assert found["a"].undecided == {ERRORS, LATENCY}, "no request tells nothing"


def test_a_server_that_was_started_again_has_counted_from_nothing() -> None:
    _, found = serving_findings.compared(look(Counts(1000, 0, 1000)), {"a": Counts(20, 20)}, ["a"], NOW)
    assert [each.about for each in found["a"].findings] == [ERRORS]


def test_a_version_that_cannot_be_loaded_is_worse_where_none_serves() -> None:
    told = serving_findings._version("a", {"problem": "BadFeatures", "model_version": 2})
    assert told.findings[0].severity == "warning"
    told = serving_findings._version("a", {"problem": "BadFeatures", "model_version": None})
    assert told.findings[0].severity == "critical"
    assert serving_findings._version("a", {"problem": None, "model_version": 3}).endings


def test_silence_is_told_of_a_server_that_has_answered_and_not_at_once() -> None:
    kept, told = serving_findings.silent(Look(), NOW, "ConnectError")
    assert (kept, told.findings, dict(told.unread)) == (Look(), (), {"prediction server": "ConnectError"})
    kept, told = serving_findings.silent(look(Counts()), NOW, "ConnectError")
    assert (kept.silent_since, told.findings) == (NOW, ())
    _, told = serving_findings.silent(kept, NOW + timedelta(minutes=4), "ConnectError")
    assert [each.severity for each in told.findings] == ["critical"]


def test_a_look_is_kept_and_a_damaged_one_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(serving_findings, "file", lambda: tmp_path / "look.json")
    assert serving_findings.load() == Look()
    for each in (look(Counts(3, 1, 2, 1)), replace(look(Counts()), silent_since=NOW)):
        serving_findings.save(each)
        assert serving_findings.load() == each
    (tmp_path / "look.json").write_text("{}")
    assert serving_findings.load() == Look()


def test_a_clock_that_was_set_back_delays_nothing_for_long() -> None:
    before = replace(look(Counts()), silent_since=NOW + timedelta(days=10), at={"a": NOW + timedelta(days=10)})
    kept, _ = serving_findings.silent(before, NOW, "ConnectError")
    _, told = serving_findings.silent(kept, NOW + timedelta(minutes=4), "ConnectError")
    assert [each.severity for each in told.findings] == ["critical"]
    kept, _ = serving_findings.compared(before, {"a": Counts(3, 3)}, ["a"], NOW)
    _, found = serving_findings.compared(kept, {"a": Counts(3, 3)}, ["a"], NOW + timedelta(hours=1))
    assert [each.about for each in found["a"].findings] == [ERRORS]
