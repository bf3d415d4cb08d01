"""The rules as Prometheus itself understands them: `promtool` checks them, and evaluates them on made-up series."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.telemetry import export

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("project")]
INFO = 'perennial_use_case_info{use_case="energy", owner="ann", instance="%s"}'
Series = list[dict[str, str]]
Alerts = dict[str, list[dict[str, str]]]


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    folder = tmp_path_factory.mktemp("telemetry")
    export.write(folder, "127.0.0.1:9093")
    (folder / "perennial.token").write_text("perennial_x")
    return folder


def test_prometheus_takes_configuration_and_rules(folder: Path) -> None:
    assert "SUCCESS" in promtool("check", "config", str(folder / export.CONFIGURATION))
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", str(folder / export.RULES))


def test_prometheus_understands_every_query_of_the_dashboard(folder: Path) -> None:
    made = json.loads((folder / export.DASHBOARD).read_text())
    queries = [target["expr"].replace("$use_case", ".*") for panel in made["panels"] for target in panel["targets"]]
    recorded = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    assert f"SUCCESS: {len(queries)} rules found" in promtool("check", "rules", str(file))


def firing(alert: str, severity: str, use_case: str = "energy", **labels: str) -> dict[str, str]:
    owned = {"owner": "ann"} if use_case and alert not in ("PerennialUseCaseProblem", "PerennialUseCaseGone") else {}
    of = {"use_case": use_case} if use_case else {}
    return {"alertname": alert, "severity": severity, **of, **owned, **labels}


def of(metric: str, values: str, use_case: str = "energy", **labels: str) -> dict[str, str]:
    told = ", ".join(f'{name}="{value}"' for name, value in ({"use_case": use_case} | labels).items())
    return {"series": f"perennial_{metric}{{{told}}}", "values": values}


FAILED = firing("PerennialRunFailed", "critical", pipeline="scoring")
CASES: dict[str, tuple[Series, Alerts]] = {
    "a failed run is one alert, also of two API servers": (
        [of("failed_runs", "0 0 1x9", pipeline="scoring", instance=each) for each in ("a", "b")],
        {"1m": [], "3m": [FAILED]},
    ),
    "a partition is late when its cadence says so": (
        [of("overdue_partitions", "1x400")],
        {"2h": [], "4h": [firing("PerennialOverdue", "critical")]},
    ),
    "a run is stuck, and a training that waits for a person is not": (
        [
            of("oldest_active_run_timestamp_seconds", "0x800", pipeline="scoring"),
            of("oldest_active_run_timestamp_seconds", "0x800", pipeline="training"),
            of("pending_approvals", "1x800"),
        ],
        {
            "10h": [firing("PerennialApprovalPending", "warning")],
            "13h": [
                firing("PerennialApprovalPending", "warning"),
                firing("PerennialRunStuck", "warning", pipeline="scoring"),
            ],
        },
    ),
    "a request for retraining waits while none runs": (
        [of("open_retraining_requests", "1x900"), of("active_runs", "1x60 0x900", pipeline="training")],
        {"11h": [], "14h": [firing("PerennialRetrainingWaits", "warning")]},
    ),
    "what is loaded and not monitored": (
        [of("loaded_until_timestamp_seconds", "200x400"), of("monitored_until_timestamp_seconds", "100x400")],
        {"2h": [], "4h": [firing("PerennialNotMonitored", "warning")]},
    ),
    "incidents with a rule of their own are not told twice": (
        [
            of("incidents_open", "1x9", reason="overdue", severity="critical"),
            of("incidents_open", "1x9", reason="rolled-back", severity="info"),
            of("incidents_open", "1x9", use_case="", reason="disk", severity="critical"),
        ],
        {
            "3m": [
                firing("PerennialIncident", "info", reason="rolled-back"),
                firing("PerennialInstallationIncident", "critical", use_case="", reason="disk"),
            ]
        },
    ),
    "a use case that cannot be read has no owner": (
        [of("use_case_problem", "1x20")],
        {"3m": [], "10m": [firing("PerennialUseCaseProblem", "critical")]},
    ),
    "requests that take longer than a second": (
        [of("serving_seconds_count", "0+60x40"), of("serving_seconds_bucket", "0+54x40", le="1.0")],
        {"5m": [], "20m": [firing("PerennialServingSlow", "warning")]},
    ),
    "another version than the champion serves": (
        [
            of("champion_version", "2x30"),
            *(of("serving_model_version", f"{it}x30", instance=f"s{it}") for it in (1, 2)),
        ],
        {"5m": [], "15m": [firing("PerennialServingAnotherVersion", "warning", instance="s1")]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_alerts_fire(folder: Path, case: str) -> None:
    series, expected = CASES[case]
    info = [{"series": INFO % each, "values": "1x900"} for each in ("a", "b")]
    alive = [] if "perennial_use_case_problem" in str(series) else [of("use_case_problem", "0x900")]
    check(folder, [*info, *alive, *series], expected)


def test_a_use_case_without_metrics_is_missed_while_the_others_are_scraped(folder: Path) -> None:
    others = [
        {"series": 'up{job="perennial", instance="a"}', "values": "1x60"},
        of("use_case_problem", "0x60", "flights"),
    ]
    check(folder, others, {"10m": [], "20m": [firing("PerennialUseCaseGone", "critical")]})


def check(folder: Path, series: Series, expected: Alerts) -> None:
    """Let `promtool` evaluate all rules on these series, and compare which alerts of energy fire at each moment."""
    told = [
        {
            "expr": 'ALERTS{alertstate="firing", use_case!="flights"}',
            "eval_time": moment,
            "exp_samples": [{"labels": fired(labels), "value": 1} for labels in alerts],
        }
        for moment, alerts in expected.items()
    ]
    content: dict[str, Any] = {
        "rule_files": [str(folder / export.RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": told}],
    }
    file = folder / "tests.yml"
    file.write_text(yaml.safe_dump(content))
    promtool("test", "rules", str(file))


def fired(labels: dict[str, str]) -> str:
    """The series by which Prometheus tells that an alert fires."""
    told = ", ".join(f'{name}="{value}"' for name, value in {**labels, "alertstate": "firing"}.items())
    return f"ALERTS{{{told}}}"
