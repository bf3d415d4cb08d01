"""What a feature service consists of for a read of the online store, looked up in Feast's registry once."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import ValueType as ProtoType
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType

from perennial.feature_store import _compat
from perennial.feature_store.feature_services import get_service
from perennial.feature_store.frozen.decoding import Decode, decoder

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class FrozenView:
    """A feature view as a service uses it.

    Attributes:
        label: As a response names it.
        name: As Redis' fields name it.
        table: As SQLite names its table.
        features: The features that the service asks for.
        decoders: What reads their values.
        ttl: How old a value may be, in microseconds; None: as old as it likes.
    """

    label: str
    name: str
    table: str
    features: tuple[str, ...]
    decoders: tuple[Decode, ...]
    ttl: int | None


@dataclass(frozen=True)
class FrozenKey:
    """An entity key, and the views that are joined by it.

    Attributes:
        join_keys: The columns of a request, sorted.
        encode: A request's key as the stores have it.
        views: The views.
    """

    join_keys: tuple[str, ...]
    encode: Callable[[Mapping[str, Any]], bytes]
    views: tuple[FrozenView, ...]

    @property
    def features(self) -> list[str]:
        """The features of all its views, in their order."""
        return [feature for view in self.views for feature in view.features]


@dataclass(frozen=True)
class ReadPlan:
    """All that a read needs to know of a service.

    Attributes:
        keys: The entity keys with their views.
        expired: What becomes of expired values; see `NewestOnlineStoreConfig`.
    """

    keys: tuple[FrozenKey, ...]
    expired: str


def freeze(store: FeatureStore, service: str) -> ReadPlan | None:
    """The plan of a service; None: it has what only Feast's SDK can read.

    That is on-demand views, views without an entity, join keys under other names, and precomputed services.

    Args:
        store: The Feast store.
        service: The service's name.

    Raises:
        BadFeatures: there is no such service.
    """
    found = get_service(store, service)
    resolved = _compat.resolve_online(store, found)
    if resolved.has_on_demand or resolved.is_without_entity or getattr(found, "precompute_online", False):
        return None
    if not resolved.views or any(view.projection.join_key_map for view, _ in resolved.views):
        return None
    expired = store.config.online_store.expired
    by_key: dict[tuple[str, ...], list[FrozenView]] = {}
    for view, features in resolved.views:
        join_keys = tuple(sorted(resolved.join_keys[entity] for entity in view.entities))
        by_key.setdefault(join_keys, []).append(_view(store, view, features, expired))
    version = store.config.entity_key_serialization_version
    kinds = resolved.kinds
    return ReadPlan(
        tuple(
            FrozenKey(join_keys, _encoder([(name, kinds[name]) for name in join_keys], version), tuple(views))
            for join_keys, views in by_key.items()
        ),
        expired,
    )


def _view(store: FeatureStore, view: FeatureView, features: Sequence[str], expired: str) -> FrozenView:
    from feast.infra.online_stores.helpers import compute_table_id, compute_versioned_name

    is_versioned = store.config.registry.enable_online_feature_view_versioning
    kinds = {field.name: field.dtype.to_value_type() for field in view.features}
    return FrozenView(
        label=view.projection.name_alias or view.projection.name,
        name=compute_versioned_name(view, is_versioned),
        table=compute_table_id(store.project, view, is_versioned),
        features=tuple(features),
        decoders=tuple(decoder(kinds[name]) for name in features),
        ttl=view.ttl // _MICROSECOND if view.ttl and expired != "serve" else None,
    )


def _encoder(columns: Sequence[tuple[str, ValueType]], version: int) -> Callable[[Mapping[str, Any]], bytes]:
    """What serializes a request's entity key as Feast does."""
    packed = {ValueType.STRING: _packed_text, ValueType.INT64: _packed_integer}
    head = struct.pack("<I", len(columns)) + b"".join(
        struct.pack("<II", ProtoType.STRING, len(name.encode())) + name.encode() for name, _ in columns
    )

    def by_feast(row: Mapping[str, Any]) -> bytes:
        values = [python_values_to_proto_values([row[name]], kind)[0] for name, kind in columns]
        return serialize_entity_key(EntityKey(join_keys=[name for name, _ in columns], entity_values=values), version)

    if version < 3 or any(kind not in packed for _, kind in columns):
        return by_feast
    parts = [(name, packed[kind]) for name, kind in columns]

    def encode(row: Mapping[str, Any]) -> bytes:
        try:
            return head + b"".join([pack(row[name]) for name, pack in parts])
        except (TypeError, struct.error):  # A value that Feast converts, or refuses.
            return by_feast(row)

    return encode


_TEXT_HEAD, _INTEGER = struct.Struct("<II"), struct.Struct("<IIq")


def _packed_text(value: Any) -> bytes:
    if type(value) is not str:
        raise TypeError
    content = value.encode()
    return _TEXT_HEAD.pack(ProtoType.STRING, len(content)) + content


def _packed_integer(value: Any) -> bytes:
    if type(value) is not int:
        raise TypeError
    return _INTEGER.pack(ProtoType.INT64, 8, value)
