"""`perennial alerts`: the routes and a test message, by a connection as Airflow finds it."""

from __future__ import annotations

import json

import pytest
from alert_cases import receiving
from typed import run

from perennial.cli.frame import FAILED, INVALID


def routes(*names: str) -> str:
    return json.dumps([{"name": name, "notifier": "webhook", "connection": name} for name in names])


def test_without_routes_it_says_that_nobody_is_told() -> None:
    assert "Nobody is told of incidents" in run("alerts", "routes").stdout


def test_an_unknown_route_is_an_error_with_the_known_ones() -> None:
    ended = run("alerts", "test", "mial", PERENNIAL_ALERT_ROUTES=routes("mail"))
    assert ended.returncode == INVALID
    assert "Did you mean 'mail'?" in ended.stderr


@pytest.mark.usefixtures("home")
def test_a_test_is_sent_recorded_and_shown() -> None:
    with receiving() as receiver:
        connection = json.dumps({"conn_type": "http", "host": f"{receiver.url}/secret-path"})
        given = {"PERENNIAL_ALERT_ROUTES": routes("hook", "gone"), "AIRFLOW_CONN_HOOK": connection}
        tried = run("alerts", "test", **given)
    assert [body["kind"] for _, _, body in receiver.got] == ["test"], tried.stderr
    assert tried.returncode == FAILED
    assert tried.stdout.startswith("hook: sent\ngone: failed. There is no Airflow connection 'gone'.")
    shown = run("alerts", "routes", **given).stdout
    assert "works" in shown
    assert "gone: There is no Airflow connection 'gone'. Add it, or set AIRFLOW_CONN_GONE" in shown
    told = json.loads(run("alerts", "routes", "--json", **given).stdout)
    assert [(each["route"], each["failures"], bool(each["last_sent"])) for each in told] == [
        ("hook", 0, True),
        ("gone", 1, False),
    ]
    assert "secret" not in f"{tried.stdout}{tried.stderr}{shown}{told}"
