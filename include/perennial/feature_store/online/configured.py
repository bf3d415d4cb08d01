"""Chooses the online store by a setting: `PERENNIAL_ONLINE_STORE`, a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import yaml

from perennial.settings import settings

if TYPE_CHECKING:
    from perennial.feature_store.online.base import NewestOnlineStoreConfig


class ConfiguredOnlineStoreConfig:
    """`online_store:` in feature_store.yaml, with `type: perennial.feature_store.online.ConfiguredOnlineStore`.

    It becomes the options of the store that the setting `online_store` names by its URL:

    | URL | store |
    |---|---|
    | none | SQLite, `online.db` in Perennial's home |
    | `sqlite:////srv/online.db` | SQLite |
    | `redis://:password@host:6379/1`, `rediss://...` | Redis |
    | `postgresql://user:password@host:5432/database` | PostgreSQL |
    | `postgresql:///feast` | PostgreSQL, a database of Perennial's own server |
    | `dynamodb://eu-west-1` | DynamoDB in that region |

    Options of the store may follow a `?`, written as in YAML, or be given in feature_store.yaml, for every store that
    has them.
    """

    def __new__(cls, type: str = "", **options: Any) -> NewestOnlineStoreConfig:  # type: ignore[misc]  # noqa: A002
        """The options of the configured store; Feast creates the store itself by their class.

        Args:
            type: What feature_store.yaml says.
            **options: Options of the store.

        Raises:
            ValueError: there is no store for such a URL, or it has no such option.
        """
        configured = settings().online_store
        url = urlsplit(configured.get_secret_value() if configured else "sqlite://")
        options |= {name: yaml.safe_load(value) for name, value in parse_qsl(url.query)}
        if url.scheme == "sqlite":
            from perennial.feature_store.online.sqlite import NewestSqliteOnlineStoreConfig

            return NewestSqliteOnlineStoreConfig(**{"path": unquote(url.path[1:]), **options})
        if url.scheme in ("redis", "rediss"):
            from perennial.feature_store.online.redis import NewestRedisOnlineStoreConfig

            return NewestRedisOnlineStoreConfig(connection_string=url._replace(query="").geturl(), **options)
        if url.scheme == "postgresql":
            from perennial.feature_store.online.postgres import NewestPostgreSQLOnlineStoreConfig

            return NewestPostgreSQLOnlineStoreConfig(**{**_postgresql(url), **options})
        if url.scheme == "dynamodb":
            from perennial.feature_store.online.dynamodb import NewestDynamoDBOnlineStoreConfig

            return NewestDynamoDBOnlineStoreConfig(region=url.netloc, **options)
        raise ValueError(
            f"PERENNIAL_ONLINE_STORE names {url.scheme or 'no scheme'!r}, which no online store here understands."
            " It may start with sqlite://, redis://, rediss://, postgresql:// or dynamodb://."
        )


def _postgresql(url: SplitResult) -> dict[str, Any]:
    """Feast's options for a PostgreSQL address; without a host, a database of Perennial's own server."""
    if url.hostname:
        return {
            "host": unquote(url.hostname),
            "port": url.port or 5432,
            "database": unquote(url.path.lstrip("/")) or "feast",
            "user": unquote(url.username or "postgres"),
            "password": unquote(url.password or ""),
            "sslmode": "prefer",
        }
    from perennial.services import postgres

    server = postgres.url(unquote(url.path.lstrip("/")) or "feast")
    query = {name: str(value) for name, value in server.query.items()}
    return {
        "host": server.host or query.get("host", ""),
        "port": server.port or int(query.get("port", 5432)),
        "database": server.database,
        "user": server.username or "postgres",
        "password": server.password or "",
        "sslmode": query.get("sslmode", "prefer"),
        "requirepeer": query.get("requirepeer"),
    }
