"""Removes, in a response of the online store, values that are older than their view's `ttl`: training sees null too."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feast.feature_view import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

#: The moment that ages are counted to (UTC); None: now. Set by who serves the past again.
serving_time: ContextVar[datetime | None] = ContextVar("serving_time", default=None)


@dataclass(frozen=True)
class Expiry:
    """How old each feature of a response may be.

    Attributes:
        limits: Feature, as the response names it -> its view's `ttl`; features that never expire are absent.
        keep_value: Whether an expired value is served, marked, rather than null.
    """

    limits: dict[str, timedelta]
    keep_value: bool

    @staticmethod
    def of(config: RepoConfig, requested: list[tuple[FeatureView, list[str]]], full_names: bool) -> Expiry:
        """The limits of the features that are asked for.

        Args:
            config: Its `online_store: expired:` says what becomes of expired values.
            requested: Views and the features of them.
            full_names: Whether the response calls features `<view>__<feature>`.
        """
        mode = config.online_store.expired
        limits = {
            f"{view.projection.name_to_use()}__{feature}" if full_names else feature: view.ttl
            for view, features in requested
            for feature in features
            if view.ttl and mode != "serve"
        }
        return Expiry(limits, keep_value=mode == "mark")

    def apply(self, response: GetOnlineFeaturesResponse) -> None:
        """Give values that are expired the status OUTSIDE_MAX_AGE, in place, and null in place of the value."""
        if not self.limits:
            return
        now = serving_time.get() or datetime.now(UTC)
        for name, result in zip(response.metadata.feature_names.val, response.results, strict=False):
            limit = self.limits.get(name)
            if limit is None:
                continue
            for row, event in enumerate(result.event_timestamps):
                if result.statuses[row] == FieldStatus.PRESENT and now - event.ToDatetime(UTC) > limit:
                    result.statuses[row] = FieldStatus.OUTSIDE_MAX_AGE
                    if not self.keep_value:
                        result.values[row].CopyFrom(Value())


def clear_marked(config: RepoConfig, response: GetOnlineFeaturesResponse) -> None:
    """Put null in place of values that Feast itself has marked as expired: those of a precomputed service.

    Args:
        config: Its `online_store: expired:` says what becomes of expired values.
        response: Changed in place.
    """
    if config.online_store.expired != "null":
        return
    for result in response.results:
        for row, status in enumerate(result.statuses):
            if status == FieldStatus.OUTSIDE_MAX_AGE:
                result.values[row].CopyFrom(Value())
