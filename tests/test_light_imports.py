"""Modules that start without the heavy libraries: what commands, pages, DAG files and use cases import first."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Each of these takes from a tenth of a second to ten seconds to import.
HEAVY = [
    "airflow",
    "duckdb",
    "evidently",
    "feast",
    "great_expectations",
    "ibis",
    "mlflow",
    "pandas",
    "polars",
    "pyarrow",
]
HEAVY += ["pyiceberg", "scipy", "sklearn", "sqlalchemy"]

LIGHT = {
    "what a use case imports": [
        "",
        "errors",
        "settings",
        "partitions",
        "use_case.table_names",
        "dag_names",
        "use_case",
        "use_case.definition",
        "use_case.policies",
        "use_case.ahead",
        "use_case.search",
        "discovery",
    ],
    "helpers": [
        *("_common", "_common.background_threads", "_common.heavy_imports", "_common.lazy_imports"),
        *("_common.sql_quoting", "_common.storage", "_common.suggestions"),
        *("services.credentials", "services.postgres_address", "services.airflow_api"),
    ],
    "faces of packages": [
        *("lake", "lake_cache", "registry", "feature_store", "evaluation", "quarantine", "gate", "monitoring"),
        *(
            "ingestion",
            "feature_changes",
            "reporting",
            "reproduce",
            "dossier",
            "backtesting",
            "alerts",
            "embedded",
            "doctor",
            "reference",
            "cli",
        ),
        "testing",
    ],
    "what pages and `perennial status` read with": [
        *("lake_cache.catalog", "lake_cache.iceberg", "lake_cache.memory", "lake_cache.on_disk"),
        *("registry.ledger", "registry.deployments", "registry.mlflow_artifacts", "registry.mlflow_tags"),
        "registry.mlflow_records",
        *("quarantine.states", "quarantine.display", "gate.decision", "gate.rollback_plan", "monitoring.verdict"),
        *("reporting.overview", "reporting.partition_status", "embedded.status", "telemetry.use_case_metrics"),
        *("alerts.incidents", "alerts.messages", "alerts.pending", "alerts.route_status"),
    ],
    "what commands begin with": [
        *("cli.completion", "cli.decisions", "cli.doctor", "cli.features", "cli.new", "cli.pipelines"),
        *("cli.quarantine", "cli.reproduce", "cli.runs", "cli.services", "cli.staleness", "dag_names", "runs.params"),
        *("doctor.finding", "doctor.examination", "reproduce.report", "feature_changes.planning"),
        *("analysis.staleness_report", "backtesting.policies", "backtesting.report", "cli.backtest"),
    ],
}

IMPORT_ONE_BY_ONE = """
import importlib, sys
*names, heavy = sys.argv[1:]
for name in names:
    importlib.import_module(name)
    if found := sorted(set(heavy.split()) & set(sys.modules)):
        sys.exit(f"after {name}: {', '.join(found)}")
"""


@pytest.mark.parametrize("group", LIGHT)
def test_nothing_heavy_is_imported(group: str) -> None:
    names = [f"perennial.{name}".rstrip(".") for name in LIGHT[group]]
    command = [sys.executable, "-c", IMPORT_ONE_BY_ONE, *names, " ".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
