"""A view's declared cadence must not promise more than its use case's refreshes bring."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.repo_contents import RepoContents
from feast.types import Float64

from perennial import LakeSource
from perennial.errors import BadFeatures
from perennial.feature_store.definitions import checks

METER = Entity(name="meter", join_keys=["meter"], value_type=ValueType.STRING)


def check(table: str, **published: Any) -> None:
    source = LakeSource(table=table, **published)
    view = FeatureView(name="v", entities=[METER], schema=[Field(name="f", dtype=Float64)], source=source)
    contents = RepoContents(
        data_sources=[source],
        feature_views=[view],
        on_demand_feature_views=[],
        stream_feature_views=[],
        feature_services=[],
        entities=[METER],
        permissions=[],
        projects=[],
        label_views=[],
    )
    checks.check(contents, {}, columns=lambda source: {})


def test_a_view_published_more_often_than_refreshed_is_refused() -> None:
    with pytest.raises(BadFeatures, match="every 0:30:00, but use case 'energy' refreshes its features every 1:00"):
        check("energy.meter_history", published_every=timedelta(minutes=30))


@pytest.mark.parametrize("hours", [1, 24])
def test_a_view_published_as_often_or_less_is_accepted(hours: int) -> None:
    check("energy.meter_history", published_every=timedelta(hours=hours))


def test_what_nobody_refreshes_has_the_cadence_that_it_declares() -> None:
    check("energy.meter_history")
    check("energy.other", published_every=timedelta(minutes=30))
    check("elsewhere.stats", published_every=timedelta(minutes=30))
    check("flights.origin_weather", published_every=timedelta(minutes=30))
