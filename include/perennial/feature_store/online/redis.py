"""Feast's Redis online store, in which the newest row wins whoever writes at the same time.

Feast's own compares event times before it writes, in two round trips: two writers can pass each other between them, and
a corrected row of the same event time is ignored. Here a script compares and writes on the server, where it runs alone.
The layout is Feast's: a hash a key, a field a feature, and a `Timestamp` a view. The exact times of a row are in that
same `Timestamp`, as a field that its readers do not know and skip.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Literal

import redis
from feast.feature_view import FeatureView
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, RedisType
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import model_validator
from redis.exceptions import NoScriptError

from perennial.feature_store import _compat
from perennial.feature_store.online.base import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import UNKNOWN, OnlineRows, microseconds

#: Values a call of the script writes: Redis serves readers between two calls.
_VALUES_A_CALL = 1_000

#: Event time and time of writing, each as seconds and microseconds; field 15 of the `Timestamp`, 24 bytes long.
_TIMES = struct.Struct("<qIqI")
_TIMES_TAG = bytes([15 << 3 | 2, _TIMES.size])


class NewestRedisOnlineStoreConfig(NewestOnlineStoreConfig, RedisOnlineStoreConfig):
    """`online_store:` in feature_store.yaml. `connection_string` may also be a URL (`redis://`, `rediss://`)."""

    type: Literal["perennial.feature_store.online.redis.NewestRedisOnlineStore"] = (
        "perennial.feature_store.online.redis.NewestRedisOnlineStore"  # type: ignore[assignment]
    )

    @model_validator(mode="after")
    def _compares(self) -> NewestRedisOnlineStoreConfig:
        if self.skip_dedup:
            raise ValueError("online_store: skip_dedup: this store always compares. Leave the option out.")
        if self.redis_type == RedisType.redis_cluster:
            raise ValueError(
                "online_store: redis_type: redis_cluster: a script writes many keys, which a cluster keeps apart."
                " Use one Redis, or Sentinel."
            )
        return self


class NewestRedisOnlineStore(NewestOnlineStore, _compat.RedisHook, RedisOnlineStore):
    """Redis in which the newest row wins, in one round trip a batch."""

    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the rows that are at least as new as the stored ones. A row is written whole or not at all.

        Args:
            config: The feature store's configuration.
            view: The rows' view.
            rows: One row a key.
        """
        name = compute_versioned_name(view, config.registry.enable_online_feature_view_versioning)
        fields = [_compat.redis_field(f"{name}:{feature}") for feature in rows.features]
        head = [f"_ts:{name}", config.online_store.key_ttl_seconds or 0, len(fields), *fields]
        project = config.project.encode()
        calls = [
            (
                [key + project for key in some.keys],
                [
                    field
                    for event, created, values in zip(some.events, some.created, some.values(), strict=True)
                    for field in (_stamp(event, created), *values)
                ],
            )
            for some in rows.chunks(max(1, _VALUES_A_CALL // (len(fields) + 1)))
        ]
        client = self.client(config.online_store)
        try:
            _run(client, self._script(client), head, calls)
        except NoScriptError:
            # The server was restarted, or its scripts were flushed; nothing, or only newer rows, was written.
            self._sha = None
            _run(client, self._script(client), head, calls)

    _sha: str | None = None

    def _script(self, client: redis.Redis) -> str:
        if self._sha is None:
            self._sha = str(client.script_load(_WRITE_NEWER))
        return self._sha

    def row_of(self, values: dict[str, bytes | None], time: bytes | None) -> tuple[datetime | None, dict | None]:
        """A row and its event time (UTC), to the microsecond; None for both where there is no row.

        Args:
            values: Feature -> its serialized value.
            time: The serialized `Timestamp` of the row.
        """
        if time is None:
            return None, None
        row = {name: Value.FromString(value or b"") for name, value in values.items()}
        return Timestamp.FromString(time).ToDatetime(UTC), row


def event_of(stamp: bytes) -> int:
    """The event time in a row's `Timestamp`, in microseconds since 1970 (UTC).

    Args:
        stamp: As this store or Feast's own wrote it.
    """
    if stamp[-_TIMES.size - 2 : -_TIMES.size] == _TIMES_TAG:
        seconds, fraction, _, _ = _TIMES.unpack_from(stamp, len(stamp) - _TIMES.size)
        return seconds * 1_000_000 + fraction
    return microseconds(Timestamp.FromString(stamp).ToDatetime(UTC))


def _run(client: redis.Redis, script: str, head: list, calls: list[tuple[list[bytes], list[bytes]]]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for keys, values in calls:
            pipe.evalsha(script, len(keys), *keys, *head, *values)
        pipe.execute()


def _stamp(event: int, created: int) -> bytes:
    """A `Timestamp` of the event time that also holds what `_WRITE_NEWER` compares."""
    seconds, fraction = divmod(event, 1_000_000)
    times = _TIMES.pack(seconds, fraction, *divmod(created, 1_000_000))
    return Timestamp(seconds=seconds, nanos=fraction * 1_000).SerializeToString() + _TIMES_TAG + times


#: KEYS: the rows' keys. ARGV: the field of the times, seconds to live or 0, n, n fields; then for each row its times
#: and n values. Lua's numbers hold integers below 2^53 exactly: hence seconds and microseconds apart. The times of a
#: row that Feast's own store wrote are read from the `Timestamp`'s two varints.
_WRITE_NEWER = f"""
local function times(stamp)
  local tail = #stamp - {_TIMES.size + 1}
  if tail > 0 and string.sub(stamp, tail, tail + 1) == '\\{_TIMES_TAG[0]}\\{_TIMES_TAG[1]}' then
    return struct.unpack('<i8I4i8I4', stamp, tail + 2)
  end
  local found, at = {{0, 0}}, 1
  while at <= #stamp do
    local field, value, unit, digit = math.floor(string.byte(stamp, at) / 8), 0, 1
    repeat
      at = at + 1
      digit = string.byte(stamp, at)
      value = value + digit % 128 * unit
      unit = unit * 128
    until digit < 128
    found[field] = value
    at = at + 1
  end
  if found[1] >= 2 ^ 63 then found[1] = found[1] - 2 ^ 64 end
  return found[1], math.floor(found[2] / 1000), {UNKNOWN // 1_000_000}, {UNKNOWN % 1_000_000}
end

local function is_older(stamp, than)
  local a, b, c, d = times(stamp)
  local e, f, g, h = times(than)
  if a ~= e then return a < e end
  if b ~= f then return b < f end
  if c ~= g then return c < g end
  return d < h
end

local field, ttl, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 4 + n
for _, key in ipairs(KEYS) do
  local present = redis.call('HGET', key, field)
  if not present or not is_older(ARGV[at], present) then
    local row = {{field, ARGV[at]}}
    for i = 1, n do
      row[2 * i + 1] = ARGV[3 + i]
      row[2 * i + 2] = ARGV[at + i]
    end
    redis.call('HSET', key, unpack(row))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
  end
  at = at + n + 1
end
"""
