"""Which online store the setting `PERENNIAL_ONLINE_STORE` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial import settings as settings_module
from perennial.feature_store.online import ConfiguredOnlineStoreConfig


@pytest.mark.parametrize(
    ("url", "kind", "options"),
    [
        ("", "Sqlite", {"path": "", "expired": "null"}),
        ("sqlite:////srv/online.db", "Sqlite", {"path": "/srv/online.db"}),
        (
            "redis://:p%40ss@cache:6379/1?key_ttl_seconds=60",
            "Redis",
            {"connection_string": "redis://:p%40ss@cache:6379/1", "key_ttl_seconds": 60},
        ),
        (
            "postgresql://me:p%40ss@db:5433/online?db_schema=features",
            "PostgreSQL",
            {"host": "db", "port": 5433, "user": "me", "password": "p@ss", "database": "online"},
        ),
        ("dynamodb://eu-west-1?transaction_size=1", "DynamoDB", {"region": "eu-west-1", "transaction_size": 1}),
    ],
)
def test_the_setting_names_the_store(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, kind: str, options: dict
) -> None:
    monkeypatch.setenv("PERENNIAL_ONLINE_STORE", url)
    settings_module.settings.cache_clear()
    config = ConfiguredOnlineStoreConfig(type="...ConfiguredOnlineStore", expired="null")
    settings_module.settings.cache_clear()
    assert config.type.endswith(f".Newest{kind}OnlineStore")
    assert config.expired == "null"
    for name, value in options.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://db", "names 'mysql', which no online store here understands"),
        ("redis://cache?skip_dedup=true", "this store always compares"),
        ("redis://cache?redis_type=redis_cluster", "which a cluster keeps apart"),
        ("sqlite://?vector_enabled=true", "NewestSqliteOnlineStore does not search"),
    ],
)
def test_what_a_store_cannot_do_is_refused_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, complaint: str
) -> None:
    monkeypatch.setenv("PERENNIAL_ONLINE_STORE", url)
    settings_module.settings.cache_clear()
    with pytest.raises(ValueError, match=complaint):
        ConfiguredOnlineStoreConfig()
    settings_module.settings.cache_clear()
