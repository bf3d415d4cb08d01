"""A login is sent to our own servers only: whose socket listens at a port is looked up first."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from perennial.errors import ServiceUnavailable
from perennial.services import listeners
from perennial.services.airflow_api import AirflowClient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose socket it is")


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::", "::1"])  # noqa: S104 - listens for a moment, answers nothing
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((request.param, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_our_own_listener_passes(port: int) -> None:
    listeners.check_ours(f"http://127.0.0.1:{port}")


def test_another_accounts_listener_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = os.geteuid()
    monkeypatch.setattr(listeners, "_listening", lambda at: [ours + 4_711] if at == port else [])
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ServiceUnavailable, match="a program of another account"):
            listeners.check_ours(f"http://{host}:{port}")
    listeners.check_ours(f"https://mlflow.example:{port}")


def test_the_login_is_not_sent_to_another_account(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_listening", lambda at: [os.geteuid() + 4_711])
    with (
        AirflowClient(f"http://127.0.0.1:{port}", patience=1) as client,
        pytest.raises(ServiceUnavailable, match="the login was not sent"),
    ):
        client.health()


def test_whose_socket_listens_is_found(port: int) -> None:
    assert set(listeners._listening(port)) == {os.geteuid()}
