"""What people are told: no markup, header or secret of somebody's making, and fields that keep their names."""

from __future__ import annotations

from alert_cases import NOW, incident, opened

from perennial.alerts import messages

_EVIL = "<b>x</b>\r\nBcc: eve@example.com\x1b[2J\u202e {{ conn.mail.password }}"


def test_a_message_has_the_documented_fields_and_no_evidence() -> None:
    told = messages.about(opened(), "hook").as_json()
    assert list(told) == [
        *("version", "kind", "key", "route", "status", "severity", "title", "meaning", "action", "link", "note"),
        *("at", "incidents"),
    ]
    assert list(told["incidents"][0]) == [
        *("incident", "sequence", "event", "use_case", "reason", "subject", "severity", "title", "owner", "by"),
    ]
    assert "private" not in str(told)


def test_what_people_wrote_is_one_line_of_text() -> None:
    event = opened(use_case="flights", title=_EVIL, meaning=_EVIL, action=_EVIL, note=_EVIL, by="ann", owner=_EVIL)
    message = messages.about(event, "hook")
    assert message.title == "[warning] flights: <b>x</b> Bcc: eve@example.com [2J {{ conn.mail.password }}"
    assert "\nBcc" not in message.as_text()
    assert "\u202e" not in str(message.as_json())
    assert "<b>x" not in message.as_html()
    assert "&lt;b&gt;x" in message.as_html()


def test_only_addresses_of_the_web_are_links() -> None:
    assert messages.about(opened(link="https://example.com/a?b=c"), "hook").link == "https://example.com/a?b=c"
    for wrong in ("javascript:alert(1)", "https://example.com/\nx", "https://[", "/etc/passwd", ""):
        assert messages.about(opened(link=wrong), "hook").link == ""


def test_a_closed_incident_says_why_and_asks_for_nothing() -> None:
    closed = incident(("closed", {"note": "the partition was loaded"})).latest
    text = messages.about(closed, "hook").as_text()
    assert text.startswith("[closed] flights: a partition is overdue\n")
    assert "Note: the partition was loaded\nWhat to do: Nothing: it is over.\n" in text


def test_a_summary_counts_all_and_names_the_most_serious_first() -> None:
    events = [opened(subject=f"{n}", title=f"number {n}", severity="critical" if n == 7 else "info") for n in range(25)]
    message = messages.summary("k", events, "hook", "")
    assert message.title == "[critical] 25 changes of incidents (1 critical, 24 info)"
    assert message.lines[0] == "[critical] flights: number 7"
    assert message.lines[-1] == "and 5 more: perennial incidents"


def test_the_key_tells_incidents_events_and_routes_apart() -> None:
    two = incident(("acknowledged", {}))
    keys = {messages.key_of(event, route) for event in (*two.events, opened(subject="x")) for route in ("a", "b")}
    assert len(keys) == 6
    assert len({messages.about(event, "a").thread for event in two.events}) == 1


def test_a_test_is_clearly_one() -> None:
    assert messages.test("mail", "k", NOW, "").title == "[test] Perennial: a test of the alert route mail"
