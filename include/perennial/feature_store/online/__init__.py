"""The online stores: Feast's own, in which only a newer row replaces another.

- `base`: what they have in common; `expiry`: values older than their view's `ttl`;
- `rows`, `serialization`: what is written to them;
- `sqlite`, `redis`, `postgres`, `dynamodb`: one store each, which `online_store: type:` may name;
- `configured`: the store that the setting `PERENNIAL_ONLINE_STORE` names.

feature_store.yaml names these modules, and `ConfiguredOnlineStore` of this package, by their paths: never move them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.feature_store.online.configured import ConfiguredOnlineStoreConfig

__all__ = ["ConfiguredOnlineStoreConfig"]

__getattr__ = attributes_of(__name__, {".configured": __all__})
