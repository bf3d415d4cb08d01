"""Use case, transforms and Feast definitions say the same."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import ibis
import polars as pl
import pytest
from feast import FeatureService, FeatureView
from feast.types import from_feast_to_pyarrow_type

from perennial import Partition, UseCase, testing
from use_cases.flights import source, transforms

#: Join key -> the entity that is joined by it.
JOIN_KEYS = {"origin": "origin", "carrier": "carrier", "route": "route", "tailnum": "plane"}
REPOSITORY = Path(__file__).parents[3] / "feature_repo/flights.py"


@pytest.fixture(scope="module")
def views() -> dict[str, FeatureView]:
    objects = runpy.run_path(str(REPOSITORY)).values()
    return {thing.name: thing for thing in objects if isinstance(thing, FeatureView)}


def test_every_feature_table_has_its_view(flights: UseCase, views: dict[str, FeatureView]) -> None:
    assert set(views) == {f"flights_{table.name}" for table in flights.features}
    for table in flights.features:
        view = views[f"flights_{table.name}"]
        assert view.source.name == f"flights.{table.name}"
        assert view.entities == [JOIN_KEYS[key] for key in table.key]
        assert view.owner == flights.owner
        assert view.ttl is not None


def test_the_service_serves_every_view(flights: UseCase, views: dict[str, FeatureView]) -> None:
    services = [thing for thing in runpy.run_path(str(REPOSITORY)).values() if isinstance(thing, FeatureService)]
    assert [service.name for service in services] == [flights.feature_service]
    assert {projection.name for projection in services[0].feature_view_projections} == set(views)


def test_transforms_return_what_the_views_declare(
    flights: UseCase, february: Partition, views: dict[str, FeatureView], computed: Callable[[ibis.Table], pl.DataFrame]
) -> None:
    raw = {table.name: ibis.memtable(getattr(source, table.name)(february)) for table in flights.raw}
    seen: list[str] = []
    for table in flights.features:
        rows = testing.lake_types(
            computed(getattr(transforms, table.name)(**{name: raw[name] for name in table.inputs})).to_arrow()
        )
        declared = {
            field.name: from_feast_to_pyarrow_type(field.dtype) for field in views[f"flights_{table.name}"].features
        }
        given = {name: rows.schema.field(name).type for name in rows.column_names}
        assert given.keys() == {*table.key, "event_timestamp", *declared}
        assert {name: given[name] for name in declared} == declared
        seen += declared
    assert len(seen) == len(set(seen)), "feature names collide across views"
