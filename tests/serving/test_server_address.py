"""What who asks the prediction server is told where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from perennial.errors import ServiceUnavailable
from perennial.serving import server_address
from perennial.settings import settings


@pytest.fixture
def none(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PERENNIAL_SERVING_URI", "none")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_that_there_is_no_server_is_said_before_anything_is_sent(none: None) -> None:
    with pytest.raises(ServiceUnavailable, match="PERENNIAL_SERVING_URI is none") as raised:
        server_address.checked()
    assert "`perennial up`" in raised.value.fix


def test_a_server_that_does_not_answer_is_named() -> None:
    error = server_address.no_answer(httpx.ConnectError("refused"))
    assert error.problem == f"No prediction server answers at {settings().serving_uri} (ConnectError)."
    assert "`perennial up`" in error.fix
    assert "`perennial serve`" in error.fix
