"""A catalog that holds another environment's lake is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog, load_catalog

from perennial.errors import InvalidSetting
from perennial.lake import environment_marker
from perennial.settings import settings


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog("perennial", type="sql", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=str(tmp_path))


@pytest.fixture
def check(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Checks the catalog as a process of an environment does."""
    with monkeypatch.context() as patched:
        patched.setenv("PERENNIAL_ENVIRONMENTS", str(tmp_path))

        def _check(name: str) -> None:
            if name:
                (tmp_path / f"{name}.toml").touch()
            patched.setenv("PERENNIAL_ENVIRONMENT", name)
            settings.cache_clear()
            environment_marker.check(catalog)

        yield _check
    settings.cache_clear()


def test_an_empty_catalog_becomes_the_environments_own(check) -> None:
    check("staging")
    check("staging")


@pytest.mark.parametrize("other", ["prod", ""])
def test_another_environment_is_refused_with_both_names(other: str, check) -> None:
    check("staging")
    with pytest.raises(InvalidSetting, match=rf"environment (without a name|{other!r}).*holds the lake of.*'staging'"):
        check(other)


def test_a_lake_from_before_environments_is_nobody_elses(check, catalog: Catalog) -> None:
    catalog.create_namespace("flights")
    check("")
    with pytest.raises(InvalidSetting, match=r"'staging', and its catalog holds the lake of .*without a name"):
        check("staging")


def test_without_an_environment_nothing_is_written(check, catalog: Catalog) -> None:
    check("")
    assert catalog.list_namespaces() == []
