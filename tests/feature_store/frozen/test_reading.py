"""A frozen reader returns what `online_features` returns, for every type, status and key, and needs no registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from online_cases import NOON, Online, online_store

from perennial.errors import BadFeatures, ServiceUnavailable
from perennial.feature_store import repository
from perennial.feature_store.columns import event_timestamp_column, status_column
from perennial.feature_store.frozen.reading import FrozenReader, OnlineValues, SdkReader, reader
from perennial.feature_store.online_features import EXPIRED, NOT_FOUND

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

from perennial.feature_store.source import LakeSource

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.STRING)
place = Entity(name="place", join_keys=["place"], value_type=ValueType.INT64)
zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.INT32)

def view(name, entities, ttl=timedelta(hours=1), **types):
    return FeatureView(
        name="{name}_" + name, entities=entities, ttl=ttl, source=LakeSource(table="{name}.stats"),
        schema=[Field(name=each, dtype=kind) for each, kind in types.items()],
    )

stats = view("stats", [driver], trips=Int64, rating=Float64)
types = view(
    "types", [driver], timedelta(hours=3), small=Int32, single=Float32, flag=Bool, word=String, raw=Bytes,
    moment=UnixTimestamp, numbers=Array(Int64), words=Array(String),
)
both = view("both", [place, driver], pair=Float64)
ageless = view("ageless", [place], timedelta(0), area=Int64)
zones = view("zones", [zone], level=Int64)
service = FeatureService(name="{name}", features=[stats[["rating", "trips"]], types, both, ageless, zones])
"""
#: A view computed on demand.
HALF = """
import pandas as pd
from feast.on_demand_feature_view import on_demand_feature_view

@on_demand_feature_view(sources=[stats], schema=[Field(name="half", dtype=Float64)], name="{name}_half")
def half(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"half": inputs["rating"] / 2})

"""
#: Of each feature values at the edges of its type; every one of them is written, and null.
EDGES: dict[str, list[Any]] = {
    "trips": [0, 1, -1, 127, 128, 2**53 + 1, 2**63 - 1, -(2**63)],
    "rating": [0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), 0.1],
    "small": [0, 300, -1, 2**31 - 1, -(2**31)],
    "single": [0.0, 0.1, -3.5],
    "flag": [True, False],
    "word": ["", "a", "ä" * 60, "b" * 127, "c" * 128, "d" * 300],
    "raw": [b"", b"\x00\xff"],
    "moment": [datetime(2013, 1, 1, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)],
    "numbers": [[], [1, -1]],
    "words": [["x", ""]],
    "pair": [2.5],
    "area": [10**12],
    "level": [3],
}
STORES = ["sqlite", pytest.param("redis", marks=pytest.mark.services)]


@pytest.fixture(scope="module", params=STORES)
def online(home: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online_store(request.param, tmp_path_factory.mktemp("repo")) as case:
        case.repo.define(DEFINITIONS)
        yaml = case.repo.folder / "feature_repo" / "feature_store.yaml"
        yaml.write_text(yaml.read_text().replace("expired: serve", "expired: null"))
        repository.apply_if_changed()
        write_all(case)
        yield case


@pytest.fixture
def frozen(online: Online) -> FrozenReader:
    made = reader(online.repo.name)
    assert isinstance(made, FrozenReader)
    return made


def write_all(online: Online) -> None:
    """Driver, place and zone `n` have the n-th value of each feature, or null, at times around noon."""
    store = online.store
    keys = {"stats": "driver_id", "types": "driver_id", "both": None, "ageless": "place", "zones": "zone"}
    for name in keys:
        view = store.get_feature_view(f"{online.repo.name}_{name}")
        rows = []
        for number in range(9):
            ids = {"driver_id": Value(string_val=f"d{number}"), "place": Value(int64_val=number - 1)}
            ids["zone"] = Value(int32_val=number)
            joined = [each.name for each in view.entity_columns]
            key = EntityKey(join_keys=joined, entity_values=[ids[each] for each in joined])
            event = NOON + number * timedelta(minutes=20, microseconds=number)
            rows.append((key, values(view, number), event, None))
        store.provider.online_write_batch(store.config, view, rows, None)


def values(view: FeatureView, number: int) -> dict[str, Value]:
    found = {}
    for field in view.features:
        edges = EDGES[field.name]
        kind = field.dtype.to_value_type()
        value = edges[number] if number < len(edges) else None
        found[field.name] = python_values_to_proto_values([value], kind)[0] if value is not None else Value()
    return found


def asked() -> list[dict[str, Any]]:
    return [
        {"driver_id": driver, "place": place, "zone": zone}
        for driver, place, zone in [
            *((f"d{number}", number - 1, number) for number in range(9)),
            ("nobody", 3, 1), ("d1", -9, 99), ("", 0, 0), ("d1", 0, 1), ("d1", 0, 1), ("ü" * 90, 2**62, -1),
        ]
    ]  # fmt: skip


def by_sdk(online: Online, keys: Sequence[Mapping[str, Any]], at: datetime | None) -> list[dict[str, Any]]:
    return repository.online_features(online.repo.name, keys, statuses=True, at=at)


def expected(online: Online, served: Sequence[Mapping[str, Any]], names: Sequence[str]) -> OnlineValues:
    """What the SDK serves, in the form of a reader."""
    views = [f"{online.repo.name}_{name}" for name in ("stats", "types", "both", "ageless", "zones")]
    return OnlineValues(
        names,
        [[row[name] for name in names] for row in served],
        [{n: row[status_column(n)] for n in names if row[status_column(n)] in (NOT_FOUND, EXPIRED)} for row in served],
        [{view: row[event_timestamp_column(view)] for view in views} for row in served],
    )


@pytest.mark.parametrize("minutes", [0, 60, 61, 100, 140, 181, 500, None])
def test_a_frozen_reader_equals_the_sdk(online: Online, frozen: FrozenReader, minutes: int | None) -> None:
    at = None if minutes is None else NOON + timedelta(minutes=minutes, microseconds=3)
    read = frozen.read(asked(), at)
    assert set(read.names) == set(EDGES)
    same = expected(online, by_sdk(online, asked(), at), read.names)
    assert repr(read) == repr(same)  # -0.0 and 0.0, 1 and True differ.
    kinds = {type(value) for row in read.rows for value in row}
    assert len(kinds) > 2 or minutes in (500, None)


@pytest.mark.parametrize("mode", ["mark", "serve"])
def test_expired_values_are_treated_as_configured(online: Online, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online.store.config.online_store, "expired", mode)
    at = NOON + timedelta(minutes=100)
    read = reader(online.repo.name).read(asked(), at)
    assert repr(read) == repr(expected(online, by_sdk(online, asked(), at), read.names))
    assert any(EXPIRED in missing.values() for missing in read.missing) == (mode == "mark")


def test_a_frozen_reader_asks_no_registry(online: Online, frozen: FrozenReader, monkeypatch) -> None:
    before = frozen.read(asked(), NOON)

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("the registry was asked")

    for name in ("get_feature_service", "get_feature_view", "get_any_feature_view", "list_entities", "refresh"):
        monkeypatch.setattr(type(online.store.registry), name, fail)
    assert frozen.read(asked(), NOON) == before


def test_a_view_that_was_never_written_has_nothing(online: Online) -> None:
    online.repo.define(
        DEFINITIONS.replace("service =", 'later = view("later", [driver], never=Int64)\nservice =').replace(
            "types, both", "types, later, both"
        )
    )
    try:
        repository.apply_if_changed()
        read = reader(online.repo.name).read([{"driver_id": "d1", "place": 0, "zone": 1}], NOON)
        assert read.rows[0][list(read.names).index("never")] is None
        assert read.missing[0] == {"never": NOT_FOUND}
    finally:
        online.repo.define(DEFINITIONS)
        repository.apply_if_changed()


@pytest.mark.parametrize("wrong", [{"driver_id": 7}, {"place": "3"}, {"place": True}, {"place": 1.0}], ids=str)
def test_a_key_of_another_type_is_converted_as_by_the_sdk(online: Online, frozen: FrozenReader, wrong: dict) -> None:
    keys = [{"driver_id": "d1", "place": 0, "zone": 1} | wrong]
    read = frozen.read(keys, NOON)
    assert repr(read) == repr(expected(online, by_sdk(online, keys, NOON), read.names))


@pytest.mark.parametrize("wrong", ["three", 2**63])
def test_a_key_that_is_refused_is_refused_by_the_sdk_too(online: Online, frozen: FrozenReader, wrong: Any) -> None:
    keys = [{"driver_id": "d1", "place": wrong, "zone": 1}]
    with pytest.raises(ValueError, match=r"invalid literal|out of range"):
        frozen.read(keys, NOON)
    with pytest.raises(ValueError, match=r"invalid literal|out of range"):
        by_sdk(online, keys, NOON)


def test_there_is_no_reader_of_an_unknown_service(online: Online) -> None:
    with pytest.raises(BadFeatures, match="no feature service 'nothing'"):
        reader("nothing")


def test_a_service_with_on_demand_views_is_read_by_the_sdk(online: Online) -> None:
    online.repo.define(DEFINITIONS.replace("service =", HALF + "service =").replace("zones])", "zones, half])"))
    try:
        repository.apply_if_changed()
        made = reader(online.repo.name)
        assert isinstance(made, SdkReader)
        read = made.read([{"driver_id": "d2", "place": 0, "zone": 1}], NOON)
        assert read.rows[0][list(read.names).index("half")] == 0.75
    finally:
        online.repo.define(DEFINITIONS)
        repository.apply_if_changed()


@pytest.mark.services
def test_a_restarted_redis_is_read_again(home: Path, tmp_path: Path) -> None:
    with online_store("redis", tmp_path) as case:
        case.write(case.key("a"), (7, 0, None))
        frozen = reader(case.repo.name)
        assert frozen.read([{"driver_id": "a"}], NOON).rows == [[7, 7.0]]
        client = case.store.provider.online_store.client(case.store.config.online_store)
        client.client_kill_filter(_type="normal", skipme=True)
        assert frozen.read([{"driver_id": "a"}], NOON).rows == [[7, 7.0]]


@pytest.mark.services
def test_a_redis_that_is_away_is_named(home: Path, tmp_path: Path) -> None:
    with online_store("redis", tmp_path) as case:
        frozen = reader(case.repo.name)
        client = case.store.provider.online_store.client(case.store.config.online_store)
        client.shutdown(nosave=True)
        with pytest.raises(ServiceUnavailable, match="online store does not answer"):
            frozen.read([{"driver_id": "a"}], NOON)
