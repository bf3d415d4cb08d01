"""Airflow answers requests for its own names only, on every route: no other site can resolve its name to it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from perennial.errors import InvalidSetting
from perennial.settings import settings


@pytest.mark.parametrize("path", ["/", "/perennial/", "/api/v2/version", "/auth/token", "/execution/health"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "127.0.0.1@evil", "["])
def test_a_request_for_another_host_is_rejected(http: TestClient, access: dict[str, str], path: str, host: str) -> None:
    answer = http.get(path, headers=access | {"Host": host}, follow_redirects=False)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "testserver", "LOCALHOST"])
def test_loopback_and_configured_names_are_answered(http: TestClient, access: dict[str, str], host: str) -> None:
    assert http.get("/perennial/", headers=access | {"Host": host}).status_code == 200


def test_public_addresses_and_the_setting_name_hosts(monkeypatch: pytest.MonkeyPatch, http: TestClient) -> None:
    from perennial.pages import hosts

    monkeypatch.setenv("PERENNIAL_AIRFLOW_PUBLIC_URI", "https://airflow.example.com/team")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "http://airflow-api-server:8080")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_ALLOWED_HOSTS", '["*.internal.example.com"]')
    settings.cache_clear()
    try:
        allowed = hosts.allowed_hosts()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert {"airflow.example.com", "airflow-api-server", "*.internal.example.com", "localhost"} <= set(allowed)
    assert "*" not in allowed


@pytest.mark.parametrize("wrong", ['["http://a"]', '["a:80"]', '["a*"]', '["a b"]'])
def test_a_setting_that_is_no_host_is_an_error(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PERENNIAL_AIRFLOW_ALLOWED_HOSTS", wrong)
    settings.cache_clear()
    try:
        with pytest.raises(InvalidSetting, match="is no host"):
            settings()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
