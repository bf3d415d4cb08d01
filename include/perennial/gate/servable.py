"""Whether a registered version can serve now, or stand in shadow: whether it loads, and its features are there."""

from __future__ import annotations

from perennial.errors import PerennialError
from perennial.feature_store import repository
from perennial.registry import model_loading, tracking
from perennial.use_case import UseCase


def check(use_case: UseCase, version: int) -> None:
    """Refuse a version whose model is gone or cannot be trusted, or which needs a feature that is no longer served.

    Args:
        use_case: Whose version.
        version: The version.

    Raises:
        UnknownVersion: the registry has no such version.
        PerennialError: see above.
    """
    tracking.run_of(use_case, version)
    model_loading.load(use_case, version)
    served = {*use_case.examples.request_features, *repository.feature_names(use_case.feature_service)}
    absent = [name for name in model_loading.inputs(use_case, version) if name not in served]
    if absent:
        raise PerennialError(
            f"Version {version} of model {use_case.name!r} was trained on {', '.join(absent)}, which feature service"
            f" {use_case.feature_service!r} no longer serves.",
            "Put the features back in feature_repo/ first, or choose a version that does without them.",
        )
