"""Alerts as what Slack, Microsoft Teams and PagerDuty take. Whatever people wrote is plain text there, never markup."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from perennial.alerts.messages import Message

#: The longest text of a header, and of a section, that Slack takes.
_HEADER, _SECTION = 150, 3000
#: PagerDuty takes a summary of so many characters.
_SUMMARY = 1024
_ACTIONS = {"open": "trigger", "acknowledged": "acknowledge", "closed": "resolve"}


def slack(message: Message) -> dict[str, Any]:
    """`text` for notifications, and `blocks`, of plain text but for the link."""

    def block(kind: str, text: str, longest: int) -> dict[str, Any]:
        return {"type": kind, "text": {"type": "plain_text", "text": text[:longest], "emoji": False}}

    parts = [block("header", message.title, _HEADER)]
    parts += [block("section", text, _SECTION) for text in _paragraphs(message)]
    if message.link:
        # As Slack wants it: these characters would end the address.
        address = quote(message.link, safe="/:?&=#%+~@,;!$'()[]*-._").replace("&", "&amp;")
        parts.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{address}|Open>"}})
    escaped = message.title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "blocks": parts, "mrkdwn": False}


def teams(message: Message) -> dict[str, Any]:
    """An adaptive card, as a Teams workflow takes it. Text runs are not read as Markdown, as text blocks are."""

    def line(text: str, **more: Any) -> dict[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **more}]}

    body = [line(message.title, weight="Bolder", size="Medium"), *map(line, _paragraphs(message))]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if message.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": message.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def pagerduty(message: Message) -> dict[str, Any]:
    """The arguments of an event of PagerDuty's: it opens, acknowledges or resolves the incident there, by its key."""
    told = message.as_json()
    return {
        "summary": message.title[:_SUMMARY],
        "severity": message.severity,
        "source": "perennial",
        "action": _ACTIONS[message.status],
        "dedup_key": message.thread,
        "custom_details": {name: told[name] for name in ("key", "kind", "meaning", "action", "note", "incidents")},
        "links": [{"href": message.link, "text": "Open"}] if message.link else None,
    }


def _paragraphs(message: Message) -> list[str]:
    note = f"Note: {message.note}" if message.note else ""
    action = f"What to do: {message.action}" if message.action else ""
    return [text for text in (message.meaning, "\n".join(message.lines), note, action) if text]
