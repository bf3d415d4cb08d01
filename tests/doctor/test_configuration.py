"""What the doctor says of settings."""

from __future__ import annotations

from examined import Examine


def test_settings_and_where_they_come_from(examine_with: Examine) -> None:
    findings = examine_with("Settings", "names", PERENNIAL_PARALLELISM="3", PERENNIAL_MLFLOW_PROT="5501")
    assert findings["parallelism"].message == "3 (from PERENNIAL_PARALLELISM)"
    assert findings["PERENNIAL_MLFLOW_PROT"].state == "warning"
    assert "Did you mean 'PERENNIAL_MLFLOW_PORT'?" in findings["PERENNIAL_MLFLOW_PROT"].fix


def test_an_invalid_setting_is_the_only_finding(examine_with: Examine) -> None:
    findings = examine_with(PERENNIAL_PARALLELISM="many")
    assert [(finding.name, finding.state) for finding in findings.values()] == [("Settings", "failed")]
    assert "PERENNIAL_PARALLELISM" in findings["Settings"].message
