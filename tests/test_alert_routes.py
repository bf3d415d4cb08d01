"""Routes as people declare them: errors that say what to correct, and quiet hours by the clock on the wall."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.alert_routes import QuietHours
from perennial.errors import InvalidSetting
from perennial.settings import settings

_MAIL = {"name": "mail", "notifier": "smtp", "connection": "mail", "to": ["ann@example.com"]}
_HOOK = {"name": "hook", "notifier": "webhook", "connection": "hook"}
_QUIET = {"begin": "22:00", "end": "07:00", "time_zone": "Europe/Berlin"}


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Any:
    def declare(*routes: dict[str, Any]) -> Any:
        monkeypatch.setenv("PERENNIAL_ALERT_ROUTES", json.dumps(routes))
        settings.cache_clear()
        return settings().alert_routes

    yield declare
    monkeypatch.undo()
    settings.cache_clear()


def test_routes_are_read_from_the_environment(declare: Any) -> None:
    mail, hook = declare(_MAIL | {"quiet": _QUIET}, _HOOK)
    assert (mail.to, mail.severity, mail.per_hour) == (["ann@example.com"], "warning", 20)
    assert mail.quiet.time_zone == "Europe/Berlin"
    assert hook.quiet is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([_HOOK | {"severity": "bad"}], r"ALERT_ROUTES\.0\.severity: Input should be 'critical', 'warning' or 'info'"),
        ([_MAIL, _HOOK | {"use_case": "x"}], r"ALERT_ROUTES\.1\.use_case: Extra inputs are not permitted"),
        ([_HOOK | {"per_hour": "5"}], r"ALERT_ROUTES\.0\.per_hour: Input should be a valid integer"),
        ([_MAIL | {"to": []}], "route 'mail' needs `to`, a list of mail addresses"),
        ([_HOOK | {"to": ["a@b.c"]}], "route 'hook' is webhook, and only smtp has `to`"),
        ([_MAIL | {"to": ["a@b.c\nBcc: x@y.z"]}], "is not a mail address"),
        ([_HOOK, _HOOK], "two routes are called 'hook'"),
        ([_HOOK | {"quiet": _QUIET | {"time_zone": "Berlin"}}], "there is no time zone 'Berlin'"),
        ([_HOOK | {"quiet": _QUIET | {"time_zone": "../etc/passwd"}}], "time zone"),
        ([_HOOK | {"quiet": _QUIET | {"end": "7:00"}}], r"ALERT_ROUTES\.0\.quiet\.end: String should match"),
        ([_HOOK | {"quiet": _QUIET | {"end": "22:00"}}], "begin and end are the same"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_route_is_an_error_that_names_it(declare: Any, wrong: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        declare(*wrong)


_TIMES = st.integers(0, 24 * 60 - 1).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")
# Days around the changes of the clocks, in zones that change at different hours, by half an hour, or on no day.
_ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"])
_CHANGES = st.sampled_from(
    [datetime(2026, *day, tzinfo=UTC) for day in ((3, 7), (3, 28), (4, 4), (4, 23), (10, 24), (11, 1))]
)


@given(_TIMES, _TIMES, _ZONES, _CHANGES, st.integers(0, 3 * 24 * 60))
def test_quiet_hours_end_within_a_day_or_so_and_not_early(
    begin: str, end: str, zone: str, day: datetime, minutes: int
) -> None:
    if begin == end:
        return
    quiet = QuietHours(begin=begin, end=end, time_zone=zone)
    moment = day + timedelta(minutes=minutes)
    shown = f"{moment.astimezone(ZoneInfo(zone)):%H:%M}"
    assert quiet.include(moment) == (begin <= shown < end if begin < end else not end <= shown < begin)
    over = quiet.over_at(moment)
    assert not quiet.include(over)
    assert moment <= over <= moment + timedelta(hours=25)
    assert all(quiet.include(moment + timedelta(minutes=m)) for m in range(int((over - moment).total_seconds()) // 60))


def test_quiet_hours_follow_the_clock_when_it_changes() -> None:
    quiet = QuietHours(**_QUIET)
    assert quiet.over_at(datetime(2026, 3, 28, 22, 30, tzinfo=UTC)) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
    assert quiet.over_at(datetime(2026, 10, 24, 22, 30, tzinfo=UTC)) == datetime(2026, 10, 25, 6, 0, tzinfo=UTC)
