"""A version made before a feature was added is still reproduced, and its predictions are still compared."""

from __future__ import annotations

import pytest
from changes_cases import Checkout
from pipelines import train

from perennial import gate, lake, scoring
from perennial.feature_changes import applying, planning
from perennial.feature_store import parity
from perennial.reproduce import refit

#: A column more, of the same view.
TRANSFORM = ("readings.kwh})", "readings.kwh}).mutate(meter_last_wh=ibis._.meter_last * 1000)")
FIELD = 'Field(name="meter_last", dtype=Float64)'
DEFINITION = (FIELD, f'{FIELD}, Field(name="meter_last_wh", dtype=Float64)')


@pytest.mark.parametrize("is_applied", [True, False], ids=["applied", "only in the files"])
def test_a_version_from_before_a_column_was_added(checkout: Checkout, mlflow_server: str, is_applied: bool) -> None:
    checkout.run(1, 2, 3)
    version = train(checkout.use_case, "first")
    gate.finalize(checkout.use_case, gate.evaluate(checkout.use_case, version))
    checkout.run(4)
    assert scoring.score(checkout.use_case, checkout.partition(4))
    checkout.edit(checkout.transforms, TRANSFORM)
    checkout.edit(checkout.definitions, DEFINITION)
    if is_applied:
        assert applying.apply(planning.plan())
        checkout.run(1, 2, 3, 4, 5)
        scoring.score(checkout.use_case, checkout.partition(5))
        rows = lake.read(f"{checkout.name}.predictions")
        assert rows is not None
    found = {part.name: part.equal for part in refit.reproduce(checkout.use_case, version).parts}
    assert (found["data"], found["predictions"]) == (True, True)
    if is_applied:
        report = parity.check_logged(checkout.use_case, checkout.partition(4))
        assert [(view.keys > 0, view.differences) for view in report.views] == [(True, ())]
