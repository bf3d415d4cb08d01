"""Feature rows that somebody else computes: they reach the lake and the online store together, validated, or neither.

- `checking`: what a row has to be;
- `writing`: `push`, and what the pipelines do beside it;
- `provider`: Feast's own pushes, by the same way. feature_store.yaml names it by its path: never move it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.pushing.writing import beside_pushed, push, settle

__all__ = ["beside_pushed", "push", "settle"]

__getattr__ = attributes_of(__name__, {".writing": __all__})
