"""What an online store does with values older than their view's `ttl`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.repo_config import RepoConfig
from online_cases import INSTANT, NOON, Online, online_store


@pytest.fixture(scope="module")
def online(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online_store("sqlite", tmp_path_factory.mktemp("repo")) as case:
        old, new = (datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (61, 30))
        for number, (name, moment) in enumerate({"old": old, "new": new}.items()):
            case.write(case.key(name), (number, (moment - NOON) // INSTANT, None))
        yield case


def ask(online: Online, expired: str, full_names: bool = False) -> OnlineResponse:
    options: RepoConfig = online.store.config.model_copy()
    options._online_store = online.store.config.online_store.model_copy(update={"expired": expired})
    return online.store.provider.get_online_features(
        config=options,
        features=online.store.get_feature_service(online.repo.name),
        entity_rows=[{"driver_id": name} for name in ("old", "new", "nobody")],
        registry=online.store.registry,
        project=online.store.project,
        full_feature_names=full_names,
    )


def trips(response: OnlineResponse) -> tuple[list[int | None], list[str]]:
    """The values and their status."""
    [name] = [name for name in response.proto.metadata.feature_names.val if name.endswith("trips")]
    place = list(response.proto.metadata.feature_names.val).index(name)
    return response.to_dict()[name], [FieldStatus.Name(each) for each in response.proto.results[place].statuses]


@pytest.mark.parametrize(
    ("expired", "value", "status"),
    [("mark", 0, "OUTSIDE_MAX_AGE"), ("null", None, "OUTSIDE_MAX_AGE"), ("serve", 0, "PRESENT")],
)
def test_a_value_past_its_ttl_is_not_served_as_if_it_were_fresh(
    online: Online, expired: str, value: int | None, status: str
) -> None:
    values, statuses = trips(ask(online, expired))
    assert values == [value, 1, None]
    assert statuses == [status, "PRESENT", "NOT_FOUND"]


def test_full_feature_names_give_the_same_result(online: Online) -> None:
    assert trips(ask(online, "null", full_names=True))[0] == [None, 1, None]
