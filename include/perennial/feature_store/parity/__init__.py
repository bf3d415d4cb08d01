"""Online/offline consistency: checks that the online store serves the feature values that the lake holds.

A model is trained on features from the offline store (the lake) and predicts from features of the online store. If the
two differ, for the same entity at the same time, its predictions are wrong and nothing fails. So a sample of entities
is read online, the offline store is asked for the same moment, and the two are compared value by value; likewise the
features that scoring stored with each prediction.

- `checks`: what the pipelines and the command line call;
- `served`: what was served: read online now, or stored with predictions, and which entities to compare;
- `comparison`: compares served values with the offline store;
- `report`: the result as data, as a table, and as an error that says what to do.

Results are recorded in the lake's table `parity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.feature_store.parity.checks import check_and_record, check_logged, check_online

__all__ = ["check_and_record", "check_logged", "check_online"]

__getattr__ = attributes_of(__name__, {".checks": __all__})
