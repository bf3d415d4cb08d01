"""Models that must not be loaded, by what their description says."""

from __future__ import annotations

import pytest

from perennial import discovery
from perennial.errors import PerennialError
from perennial.registry import model_format


@pytest.mark.parametrize(
    ("flavor", "message"),
    [
        ({"serialization_format": "cloudpickle"}, "is stored as cloudpickle"),
        ({}, "something else than a scikit-learn model"),
        ({"serialization_format": "skops", "skops_trusted_types": ["os.system"]}, "not trusted: os.system"),
    ],
)
def test_a_model_that_could_run_code_is_refused(flavor: dict, message: str) -> None:
    with pytest.raises(PerennialError, match=message):
        model_format.check_flavor(discovery.load("flights"), 1, flavor)


def test_a_model_of_declared_types_is_trusted() -> None:
    use_case = discovery.load("flights")
    flavor = {"serialization_format": "skops", "skops_trusted_types": list(use_case.trusted_types)}
    model_format.check_flavor(use_case, 1, flavor)
