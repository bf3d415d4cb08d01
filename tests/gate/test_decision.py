"""The decision as data that outlives its code, and as tables that people read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from perennial.gate import GateDecision, Rule

#: As the ledger holds it from before there was an outcome.
EARLIER = {
    "promote": False,
    "reason": "v2 does not replace champion v1",
    "challenger": 2,
    "champion": 1,
    "partition": "2013-04",
    "effective_from": "2013-05-01T00:00:00Z",
    "rows": 9000,
    "rules": [{"name": "roc_auc gained", "value": 0.001, "threshold": 0.002, "passed": False}],
    "metrics": {"challenger": {"roc_auc": 0.7}, "rival": {"roc_auc": 0.699}},
    "requests": [],
    "report": "",
}


@pytest.mark.parametrize(("promote", "outcome"), [(True, "promote"), (False, "reject")])
def test_entries_of_an_earlier_gate_still_load(promote: bool, outcome: str) -> None:
    decision = GateDecision(**EARLIER | {"promote": promote})
    assert (decision.outcome, decision.borderline, decision.interval) == (outcome, False, None)


def test_a_decision_survives_json() -> None:
    decision = GateDecision(**EARLIER | {"interval": (-0.01, 0.02), "gained": 0.005, "outcome": "not-enough-evidence"})
    assert GateDecision(**json.loads(json.dumps(decision.model_dump(mode="json"), allow_nan=False))) == decision


def test_a_typo_is_an_error() -> None:
    with pytest.raises(ValidationError, match="promoted"):
        GateDecision(**EARLIER | {"promoted": True})


def test_a_person_decides_on_the_same_evidence() -> None:
    refused = GateDecision(**EARLIER | {"promote": True}).with_approval(False, "alice")
    assert (refused.promote, refused.outcome) == (False, "promote")
    assert refused.reason.endswith("; rejected by alice")


def test_the_table_shows_the_nulls_of_each_feature() -> None:
    page = GateDecision(**EARLIER | {"null_shares": {"wind_gust": (0.714, 0)}}).markdown()
    assert "Nulls in the rows fitted on / in the holdout: wind_gust 71.4% / 0%." in page


def test_table_shows_every_rule_with_markup_escaped() -> None:
    odd = Rule(name="roc_auc improvement on origin=<b>|x", value=-0.5, threshold=-0.02, passed=False, note="± 0.1")
    decision = GateDecision(**EARLIER | {"rules": [*EARLIER["rules"], odd], "not_judged": ["origin=EWR (31)"]})
    page = decision.markdown()
    assert "| roc_auc gained | 0.001 | 0.002 | **failed** |" in page
    assert r"| roc_auc improvement on origin=&lt;b>\|x | -0.5 | -0.02 | **failed**: ± 0.1 |" in page
    assert "origin=EWR (31)" in page
    assert len({line.count(" against ") for line in decision.lines()[1:3]}) == 1
    assert "FAILED (± 0.1)" in decision.lines()[2]


def test_reading_decisions_imports_nothing_heavy() -> None:
    code = "import sys, perennial.gate; print(sorted({'mlflow', 'numpy', 'pandas', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
