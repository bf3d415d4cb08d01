"""Mails with an alert: plain text and HTML, threaded by incident."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from perennial.alert_routes import AlertRoute
from perennial.alerts.messages import Message


def mail(route: AlertRoute, message: Message, sender: str) -> EmailMessage:
    """A message as a mail. Mails about one incident are one conversation; one that comes twice has the same id.

    Args:
        route: With the recipients.
        message: What to tell.
        sender: The address it is from, maybe with a name.
    """
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    made = EmailMessage(policy=SMTP)  # It refuses a header with a line break in it.
    made["Subject"] = message.title
    made["From"] = sender
    made["To"] = ", ".join(route.to)
    made["Date"] = format_datetime(datetime.now(UTC))
    made["Message-ID"] = f"<{message.key}@{domain}>"
    if message.thread != message.key:
        made["References"] = f"<{message.thread}@{domain}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in return.
    made["X-Perennial-Severity"] = message.severity
    made.set_content(message.as_text())
    made.add_alternative(message.as_html(), subtype="html")
    return made
