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


@pytest.fixture(autouse=True)
def never_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_last_looks", {})


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


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_socket_of_nobody_is_refused() -> None:
    os.seteuid(65534)
    try:
        listener = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    with listener, pytest.raises(ServiceUnavailable, match="user id 65534"):
        listeners.check_ours(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_the_login_is_not_sent_to_another_account(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_listening", lambda at: [os.geteuid() + 4_711])
    with (
        AirflowClient(f"http://127.0.0.1:{port}", patience=1) as client,
        pytest.raises(ServiceUnavailable, match="the login was not sent"),
    ):
        client.health()


def test_whose_socket_listens_is_found(port: int) -> None:
    assert set(listeners._listening(port)) == {os.geteuid()}


def test_a_token_is_not_sent_to_another_account_either(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow has ended, and somebody else listens at its port, while a replay waits for it."""
    with AirflowClient(f"http://127.0.0.1:{port}", patience=1) as client:
        client._http.headers["Authorization"] = "Bearer token"
        monkeypatch.setattr(listeners, "_listening", lambda at: [os.geteuid() + 4_711])
        with pytest.raises(ServiceUnavailable, match="the login was not sent"):
            client.health()


def test_a_listener_is_looked_at_again_after_a_second(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address, clock = f"http://127.0.0.1:{port}", [100.0]
    monkeypatch.setattr(listeners.time, "monotonic", lambda: clock[0])
    listeners.check_ours(address)
    monkeypatch.setattr(listeners, "_listening", lambda at: [os.geteuid(), os.geteuid() + 4_711])
    clock[0] += 0.9
    listeners.check_ours(address)
    clock[0] += 0.2
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="a program of another account"):
            listeners.check_ours(address)


def test_a_port_that_nobody_has_is_looked_at_each_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_listening", lambda at: [])
    listeners.check_ours(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(listeners, "_listening", lambda at: [os.geteuid() + 4_711])
    with pytest.raises(ServiceUnavailable, match="a program of another account"):
        listeners.check_ours(f"http://127.0.0.1:{port}")
