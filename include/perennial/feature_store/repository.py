"""What the pipelines call: apply the definitions of `feature_repo/`, materialize, read features.

A feature service names the features of one use case. It, its views and their tables are defined in `feature_repo/`.
Each function is in a module of its own subject; this one offers them all, and imports a module only when one of its
names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.feature_store.applying import APPLIED, FILES, applied_digest, apply_if_changed
    from perennial.feature_store.feature_services import (
        feature_names,
        feature_views,
        join_keys,
        lake_tables,
        on_demand_views,
        publications,
        request_columns,
    )
    from perennial.feature_store.historical_features import historical_features
    from perennial.feature_store.materialization import bring_online, check_rows, materialize, write_online
    from perennial.feature_store.online_features import online_features
    from perennial.feature_store.store import REGISTRY, load_config, open_store, use_store

__all__ = [
    "APPLIED",
    "FILES",
    "REGISTRY",
    "applied_digest",
    "apply_if_changed",
    "bring_online",
    "check_rows",
    "feature_names",
    "feature_views",
    "historical_features",
    "join_keys",
    "lake_tables",
    "load_config",
    "materialize",
    "on_demand_views",
    "online_features",
    "open_store",
    "publications",
    "request_columns",
    "use_store",
    "write_online",
]

__getattr__ = attributes_of(
    __name__,
    {
        "perennial.feature_store.applying": ["APPLIED", "FILES", "applied_digest", "apply_if_changed"],
        "perennial.feature_store.feature_services": [
            *("feature_names", "feature_views", "join_keys", "lake_tables", "on_demand_views"),
            *("publications", "request_columns"),
        ],
        "perennial.feature_store.historical_features": ["historical_features"],
        "perennial.feature_store.materialization": ["bring_online", "check_rows", "materialize", "write_online"],
        "perennial.feature_store.online_features": ["online_features"],
        "perennial.feature_store.store": ["REGISTRY", "load_config", "open_store", "use_store"],
    },
)
