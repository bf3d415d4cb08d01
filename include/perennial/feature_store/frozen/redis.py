"""Reads all views of a plan from Redis in one round trip."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import redis

from perennial.feature_store import _compat
from perennial.feature_store.frozen.plan import FrozenKey, ReadPlan
from perennial.feature_store.frozen.stored import StoredRow
from perennial.feature_store.online.redis import event_of

#: Seconds that Redis may take; a server that hangs must not stop all requests for ever.
_PATIENCE = 5
#: Commands sent before their replies are read.
_COMMANDS = 500


class RedisReads:
    """Redis, read with one `HMGET` an entity: views of one key are in one hash.

    Args:
        plan: What is read.
        project: Feast's project, which ends every key.
        client: Whose options connections are made with; each thread has one of its own.
    """

    #: A hash has no field of a null that was never written: the row is there, so it is null.
    absent_is_null = True

    def __init__(self, plan: ReadPlan, project: str, client: redis.Redis) -> None:
        self._project = project.encode()
        self._pool = client.connection_pool
        self._own = threading.local()
        self._keys = [(f"*{2 + len(_fields(key))}\r\n$5\r\nHMGET\r\n".encode(), _tail(key), key) for key in plan.keys]

    def fetch(self, entities: Sequence[Sequence[bytes]]) -> list[list[list[StoredRow]]]:
        """What is stored of each entity.

        Args:
            entities: The serialized entity keys, by key of the plan.

        Returns:
            By key of the plan, entity and view.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        commands = []
        for (head, tail, _), keys in zip(self._keys, entities, strict=True):
            for key in keys:
                name = key + self._project
                commands.append(b"%b$%d\r\n%b\r\n%b" % (head, len(name), name, tail))
        replies = iter(self._ask(commands))
        return [
            [_rows(key.views, next(replies)) for _ in keys]
            for (_, _, key), keys in zip(self._keys, entities, strict=True)
        ]

    def _ask(self, commands: Sequence[bytes]) -> list[list[bytes | None]]:
        try:
            return self._once(commands)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if isinstance(error, redis.TimeoutError):
                raise
            return self._once(commands)  # The server was restarted, or ended a connection that had been idle.

    def _once(self, commands: Sequence[bytes]) -> list[list[bytes | None]]:
        connection = self._connection()
        replies: list[list[bytes | None]] = []
        try:
            for start in range(0, len(commands), _COMMANDS):
                some = commands[start : start + _COMMANDS]
                connection.send_packed_command([b"".join(some)])
                replies += [connection.read_response(disable_decoding=True) for _ in some]
        except BaseException:
            connection.disconnect()  # Replies may still be on their way.
            raise
        return replies

    def _connection(self) -> Any:
        """The calling thread's connection; one may not cross into a forked process."""
        own = self._own
        if getattr(own, "process", None) != os.getpid():
            own.connection = self._pool.make_connection()
            for name in ("socket_timeout", "socket_connect_timeout"):
                if getattr(own.connection, name, None) is None:
                    setattr(own.connection, name, _PATIENCE)
            own.process = os.getpid()
        return own.connection


def _fields(key: FrozenKey) -> list[bytes]:
    """Of each view the features, then the times of the row."""
    fields: list[bytes] = []
    for view in key.views:
        fields += [_compat.redis_field(f"{view.name}:{feature}") for feature in view.features]
        fields.append(f"_ts:{view.name}".encode())
    return fields


def _tail(key: FrozenKey) -> bytes:
    """The fields as arguments of a command."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in _fields(key))


def _rows(views: Sequence[Any], reply: Sequence[bytes | None]) -> list[StoredRow]:
    rows: list[StoredRow] = []
    start = 0
    for view in views:
        end = start + len(view.features)
        stamp = reply[end]
        rows.append(None if stamp is None else (event_of(stamp), reply[start:end]))
        start = end + 1
    return rows
