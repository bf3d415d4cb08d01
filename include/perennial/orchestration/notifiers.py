"""Sends alerts by the hooks of Airflow's providers, with the addresses and secrets of Airflow's connections.

The hooks, and not the notifiers around them: those render every text as a Jinja template, so that a title could read
connections; they hide whether Apprise delivered; and they set no limit to how long PagerDuty is waited for.

Run as a program it sends a test message, and prints the result as a line of JSON:

python -m perennial.orchestration.notifiers ROUTE
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perennial.alert_routes import EXTRA, PROVIDERS, AlertRoute, Notifier
from perennial.alerts.messages import Message, plain
from perennial.errors import PerennialError
from perennial.orchestration import chat
from perennial.orchestration.mail import mail

#: Seconds for which a receiver's answer is waited for.
PATIENCE = 15
_WEB_ADDRESS = re.compile(r"\b\w+://\S+|(?<=url: )\S+")
_SHORTEST_SECRET = 4


class NotSent(PerennialError):
    """A message was not sent; it is tried again later."""


def send(route: AlertRoute, message: Message) -> str:
    """Send a message on a route.

    Args:
        route: The route.
        message: The message.

    Returns:
        What is to be known of it, though it was sent; mostly nothing.

    Raises:
        NotSent: it was not; the error says why, without any address or secret.
    """
    with _without_secrets(route, []):
        connection = _connection(route)
    with _without_secrets(route, list(_secrets(connection))):
        return _SENDERS[route.notifier](route, message, connection)


def _connection(route: AlertRoute) -> Any:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return Connection.get(route.connection)
    except AirflowNotFoundException:
        raise NotSent(
            f"There is no Airflow connection {route.connection!r}.",
            f"Add it, or set AIRFLOW_CONN_{route.connection.upper()}: docs/alerts.md.",
        ) from None


def _secrets(connection: Any) -> Iterator[str]:
    extra = [value for value in connection.extra_dejson.values() if isinstance(value, str)]
    # Of an address of a webhook the path is the secret.
    for text in (connection.password, connection.login, (connection.host or "").partition("://")[2], *extra):
        if text and len(text) >= _SHORTEST_SECRET:
            yield text


@contextmanager
def _without_secrets(route: AlertRoute, secrets: list[str]) -> Iterator[None]:
    """Let errors say what happened, and nothing else: what libraries say may contain a webhook's address."""
    try:
        yield
    except NotSent:
        raise
    except ImportError as error:
        package = PROVIDERS[route.notifier]
        raise NotSent(
            f"Route {route.name!r} needs {package}, which cannot be imported: {error.name}.",
            f'Install it where Airflow\'s workers run: pip install "perennial[{EXTRA}]".',
        ) from None
    except Exception as error:
        words = _WEB_ADDRESS.sub("(address)", str(error))
        for secret in sorted(secrets, key=len, reverse=True):
            words = words.replace(secret, "***")
        raise NotSent(plain(f"{type(error).__name__}: {words}")[:300]) from None


def _smtp(route: AlertRoute, message: Message, connection: Any) -> str:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    from perennial.orchestration import _compat

    sender = connection.extra_dejson.get("from_email")
    if not sender:
        raise NotSent(
            f"The Airflow connection {route.connection!r} names no sender.", 'Add "from_email" to its extra fields.'
        )
    made = mail(route, message, sender)
    with SmtpHook(smtp_conn_id=route.connection) as hook:
        refused = _compat.send_mail(hook, made, sender, route.to)
    return f"not accepted for {', '.join(sorted(refused))}" if refused else ""


def _post(route: AlertRoute, body: dict[str, Any], message: Message) -> str:
    from airflow.providers.http.hooks.http import HttpHook

    # A redirection would turn it into a GET that delivers nothing; the hook's own check writes the answer to the log.
    options = {"timeout": PATIENCE, "allow_redirects": False, "check_response": False}
    hook = HttpHook(method="POST", http_conn_id=route.connection)
    answer = hook.run(json=body, headers={"Idempotency-Key": message.key}, extra_options=options)
    # `ok` is also a redirection without an address; the words beside the number are a stranger's.
    if not 200 <= answer.status_code < 300:
        raise NotSent(f"The receiver answered {answer.status_code}.")
    return ""


def _webhook(route: AlertRoute, message: Message, connection: Any) -> str:
    return _post(route, message.as_json(), message)


def _teams(route: AlertRoute, message: Message, connection: Any) -> str:
    return _post(route, chat.teams(message), message)


def _slack(route: AlertRoute, message: Message, connection: Any) -> str:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    # Without handlers nothing is tried again at once: the next run does, and records that.
    hook = SlackWebhookHook(slack_webhook_conn_id=route.connection, timeout=PATIENCE, retry_handlers=[])
    hook.send_dict(chat.slack(message), headers={"Idempotency-Key": message.key})
    return ""


def _pagerduty(route: AlertRoute, message: Message, connection: Any) -> str:
    import pagerduty
    from airflow.providers.pagerduty.hooks.pagerduty_events import PagerdutyEventsHook, prepare_event_data

    key = PagerdutyEventsHook(pagerduty_events_conn_id=route.connection).integration_key
    # The hook's own client waits for a minute, and tries again; the host is for accounts in another region.
    with pagerduty.EventsApiV2Client(key, base_url=connection.host or None) as client:
        client.timeout, client.max_http_attempts, client.max_network_attempts = PATIENCE, 1, 1
        client.send_event(**prepare_event_data(**chat.pagerduty(message)))
    return ""


def _apprise(route: AlertRoute, message: Message, connection: Any) -> str:
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyFormat, NotifyType

    kinds = {"critical": NotifyType.FAILURE, "warning": NotifyType.WARNING, "info": NotifyType.INFO}
    services = Apprise()
    AppriseHook(apprise_conn_id=route.connection).set_config_from_conn(connection, services)
    if not len(services):
        raise NotSent(
            f"The Airflow connection {route.connection!r} names no service that Apprise knows.",
            'Its extra field "config" is {"path": "<address of a service>", "tag": "alerts"}.',
        )
    is_sent = services.notify(
        title=message.title,
        body=message.as_text().partition("\n")[2],
        notify_type=kinds[message.severity],
        body_format=NotifyFormat.TEXT,
        interpret_escapes=False,
        tag="all",
    )
    if not is_sent:
        raise NotSent("Apprise did not deliver it to at least one of the services.", "The task's log says more.")
    return ""


_SENDERS: dict[Notifier, Callable[[AlertRoute, Message, Any], str]] = {
    "smtp": _smtp,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "teams": _teams,
    "webhook": _webhook,
    "apprise": _apprise,
}


def deliver_alerts() -> dict[str, Any]:
    """Tell what each route is to tell now; a route that fails is tried again later, and delays no other.

    Returns:
        Route -> what it did: `perennial.alerts.delivery.deliver`.

    Raises:
        ServiceUnavailable: the lake cannot be read, or not be written.
    """
    from perennial.alerts import delivery

    results = delivery.deliver(send)
    delivery.check(results)
    return results


if __name__ == "__main__":
    # As Airflow's servers set it, since only these may read its database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    from perennial.alerts import delivery

    # Airflow logs to standard output, which must contain only the result here.
    stdout, sys.stdout = sys.stdout, sys.stderr
    stdout.write("\n" + json.dumps(delivery.test(sys.argv[1], send)))
    stdout.flush()
    os._exit(0)  # Also if a thread still waits for a receiver.
