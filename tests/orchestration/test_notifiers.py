"""Alerts over Airflow's providers to receivers on this machine: what arrives, and what errors do not say."""

from __future__ import annotations

import email
import json
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from alert_cases import Receiver, incident, opened, receiving, route
from machines import free_port

from perennial.alerts import messages
from perennial.orchestration import notifiers
from perennial.orchestration.notifiers import NotSent

_EVIL = "<!channel> [x](http://evil)\r\nBcc: eve@example.com {{ 1 + 1 }}"


class Mailbox:
    """An SMTP server's messages."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], EmailMessage]] = []
        self.refused = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address == self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    box = Mailbox()
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    extra = {"from_email": "Perennial <alerts@example.com>", "disable_ssl": True, "disable_tls": True, "timeout": 5}
    connect(monkeypatch, "mail", conn_type="smtp", host="127.0.0.1", port=port, extra=extra)
    yield box
    server.stop()


def connect(monkeypatch: pytest.MonkeyPatch, name: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


MAIL = route("mail", notifier="smtp", to=["ann@example.com", "bob@example.com"])


def test_a_mail_is_text_and_html_for_all_recipients(mailbox: Mailbox) -> None:
    message = messages.about(opened(title=_EVIL), "mail")
    assert notifiers.send(MAIL, message) == ""
    [(recipients, mail)] = mailbox.got
    assert recipients == ["ann@example.com", "bob@example.com"]
    assert mail["Bcc"] is None
    assert mail["Subject"] == message.title
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail.get_body(("plain",)).get_content().replace("\r\n", "\n") == message.as_text()
    assert "{{ 1 + 1 }}" in mail.get_body(("html",)).get_content()


def test_mails_of_one_incident_are_a_conversation(mailbox: Mailbox) -> None:
    events = incident(("closed", {})).events
    for event in (*events, events[0]):
        notifiers.send(MAIL, messages.about(event, "mail"))
    first, second, again = (mail for _, mail in mailbox.got)
    assert first["References"] == second["References"] is not None
    assert first["Message-ID"] == again["Message-ID"] != second["Message-ID"]


def test_a_recipient_who_is_refused_is_named(mailbox: Mailbox) -> None:
    mailbox.refused = "bob@example.com"
    assert notifiers.send(MAIL, messages.about(opened(), "mail")) == "not accepted for bob@example.com"


def test_a_webhook_gets_json_and_the_key(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"Authorization": "Bearer hidden"}
    connect(monkeypatch, "hook", conn_type="http", host=f"{receiver.url}/in/secret-path?x=1", extra=extra)
    message = messages.about(opened(title=_EVIL), "hook")
    notifiers.send(route(), message)
    [(path, headers, body)] = receiver.got
    assert path == "/in/secret-path?x=1"
    assert (headers["idempotency-key"], headers["authorization"]) == (message.key, "Bearer hidden")
    assert body == message.as_json()


@pytest.mark.parametrize("status", [302, 303, 404, 500])
def test_another_answer_is_a_failure(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    receiver.status = status
    connect(monkeypatch, "hook", conn_type="http", host=receiver.url, extra={"check_response": False})
    with pytest.raises(NotSent, match=f"The receiver answered {status}"):
        notifiers.send(route(), messages.about(opened(), "hook"))
    assert len(receiver.got) == 1


@pytest.mark.parametrize("notifier", ["webhook", "teams", "slack", "pagerduty", "apprise", "smtp"])
def test_an_error_says_nothing_secret(monkeypatch: pytest.MonkeyPatch, notifier: str) -> None:
    dead = "http://127.0.0.1:9/secret-path"
    extra = {"config": {"path": "json://127.0.0.1:9/secret-path"}, "from_email": "a@example.com"}
    host = "127.0.0.1" if notifier == "smtp" else dead
    more = {"port": 9} if notifier == "smtp" else {}
    connect(monkeypatch, "x", conn_type="http", host=host, login="me", password="secret-token", extra=extra, **more)
    to = ["a@example.com"] if notifier == "smtp" else []
    with pytest.raises(NotSent) as raised:
        notifiers.send(route("x", notifier=notifier, to=to), messages.about(opened(), "x"))
    assert "secret" not in f"{raised.value}{raised.value.__cause__}"
    assert raised.value.problem


def test_slack_gets_plain_text_but_for_the_link(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "chat", conn_type="slackwebhook", host=receiver.url, password="T/B/x")
    event = opened(title=_EVIL, link="https://example.com/a|b>c?d=1&e=2")
    notifiers.send(route("chat", notifier="slack"), messages.about(event, "chat"))
    [(path, _, body)] = receiver.got
    assert path == "/T/B/x"
    assert body["text"].startswith("[warning] flights: &lt;!channel&gt; ")
    assert [each["text"]["type"] for each in body["blocks"]][:-1] == ["plain_text"] * 3
    assert body["blocks"][-1]["text"]["text"] == "<https://example.com/a%7Cb%3Ec?d=1&amp;e=2|Open>"


def test_teams_gets_a_card_of_text_runs(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "chat", conn_type="http", host=receiver.url)
    notifiers.send(route("chat", notifier="teams"), messages.about(opened(title=_EVIL), "chat"))
    [(_, _, body)] = receiver.got
    card = body["attachments"][0]["content"]
    assert {part["type"] for part in card["body"]} == {"RichTextBlock"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open", "url": "https://example.com/p"}]


def test_pagerduty_resolves_what_it_triggered(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its client refuses to send the key without TLS, which the receiver here does not speak.
    anywhere = property(lambda self: self._url, lambda self, url: setattr(self, "_url", url))
    monkeypatch.setattr("pagerduty.EventsApiV2Client.url", anywhere)
    receiver.status, receiver.answer = 202, b'{"status": "success", "dedup_key": "k"}'
    connect(monkeypatch, "pager", conn_type="pagerduty_events", host=receiver.url, password="a" * 32)
    for event in incident(("acknowledged", {"by": "ann", "note": "mine"}), ("closed", {}), severity="critical").events:
        notifiers.send(route("pager", notifier="pagerduty"), messages.about(event, "pager"))
    bodies = [body for _, _, body in receiver.got]
    assert [each["event_action"] for each in bodies] == ["trigger", "acknowledge", "resolve"]
    assert len({each["dedup_key"] for each in bodies}) == 1
    assert bodies[0]["payload"]["severity"] == "critical"
    assert bodies[1]["payload"]["custom_details"]["note"] == "ann: mine"


def test_apprise_delivers_or_fails(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    path = receiver.url.replace("http", "json")
    connect(monkeypatch, "any", conn_type="apprise", extra={"config": [{"path": path, "tag": "alerts"}]})
    notifiers.send(route("any", notifier="apprise"), messages.about(opened(), "any"))
    assert receiver.got[0][2]["title"] == "[warning] flights: a partition is overdue"
    receiver.status = 500
    with pytest.raises(NotSent, match="Apprise did not deliver it"):
        notifiers.send(route("any", notifier="apprise"), messages.about(opened(), "any"))
    connect(monkeypatch, "any", conn_type="apprise", extra={"config": {"path": "nosuch://x"}})
    with pytest.raises(NotSent, match="names no service that Apprise knows"):
        notifiers.send(route("any", notifier="apprise"), messages.about(opened(), "any"))


def test_a_missing_connection_is_named() -> None:
    with pytest.raises(NotSent, match="There is no Airflow connection 'nosuch'"):
        notifiers.send(route(connection="nosuch"), messages.about(opened(), "hook"))


def test_a_missing_provider_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "chat", conn_type="slackwebhook", password="x")
    monkeypatch.setitem(sys.modules, "airflow.providers.slack.hooks.slack_webhook", None)
    with pytest.raises(NotSent, match=r"needs apache-airflow-providers-slack(.|\n)*perennial\[alerts\]"):
        notifiers.send(route("chat", notifier="slack"), messages.about(opened(), "chat"))
