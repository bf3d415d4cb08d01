"""Where a source is read from: as the run says, as the workers' environment says, or as declared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from perennial.errors import BadBatch
from perennial.ingestion import places
from perennial.settings import settings
from perennial.sources import DatabaseTable, Files

SOURCE = SimpleNamespace(
    FILES=Files("shop", "/declared", variable="SHOP_DATA"),
    TABLE=DatabaseTable("shop", "connection://shop/sales", variable="SHOP_TABLE"),
    PLAIN=Files("shop", "/plain"),
)
SHOP = SimpleNamespace(name="shop", module=lambda name: SOURCE)


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process in which nothing is set."""
    for name in ("SHOP_DATA", "SHOP_TABLE", "PERENNIAL_USERS", "PERENNIAL_SOURCES_FROM_RUNS", "PERENNIAL_AIRFLOW_URI"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_the_declared_place_is_the_last_choice(workers: pytest.MonkeyPatch) -> None:
    assert places.find("SHOP_DATA", "/declared") == "/declared"
    workers.setenv("SHOP_DATA", "/environment")
    assert places.find("SHOP_DATA", "/declared") == "/environment"
    with places.use_places(SHOP, {"SHOP_DATA": "/run"}):
        assert places.find("SHOP_DATA", "/declared") == "/run"
        assert places.find("SHOP_DATA", "/declared", Path("/call")) == "/call"
        assert places.find("", "/plain") == "/plain"
    assert places.find("SHOP_DATA", "/declared") == "/environment"


def test_what_a_shell_has_is_sent_as_absolute_paths(workers: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert places.variables(SHOP) == ["SHOP_DATA", "SHOP_TABLE"]
    assert places.seen_here(SHOP) == {}
    workers.chdir(tmp_path)
    workers.setenv("SHOP_DATA", "newer")
    workers.setenv("SHOP_TABLE", "connection://other/sales")
    assert places.seen_here(SHOP) == {"SHOP_DATA": str(tmp_path / "newer"), "SHOP_TABLE": "connection://other/sales"}


@pytest.mark.parametrize(
    ("name", "value"), [("PERENNIAL_USERS", '{"vera": "user"}'), ("PERENNIAL_AIRFLOW_URI", "https://airflow.example")]
)
def test_with_other_users_a_run_does_not_choose(workers: pytest.MonkeyPatch, name: str, value: str) -> None:
    workers.setenv(name, value)
    settings.cache_clear()
    with (
        pytest.raises(BadBatch, match=r"SHOP_DATA=/etc, Airflow's workers have no SHOP_DATA"),
        places.use_places(SHOP, {"SHOP_DATA": "/etc"}),
    ):
        pass
    workers.setenv("SHOP_DATA", "/etc")
    with places.use_places(SHOP, {"SHOP_DATA": "/etc"}):
        assert places.find("SHOP_DATA", "/declared") == "/etc"
    workers.setenv("PERENNIAL_SOURCES_FROM_RUNS", "true")
    settings.cache_clear()
    with places.use_places(SHOP, {"SHOP_DATA": "/other"}):
        assert places.find("SHOP_DATA", "/declared") == "/other"


def test_a_variable_that_no_source_has_is_refused() -> None:
    with (
        pytest.raises(BadBatch, match="the run names a place by PATH, which no source"),
        places.use_places(SHOP, {"PATH": "/usr/bin"}),
    ):
        pass


def test_what_was_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), places.use_places(SHOP, {"SHOP_DATA": "/run"}):
        places.find("SHOP_DATA", "/declared")
    assert "Reading /run (by SHOP_DATA, sent with the run)" in caplog.text
