"""Runs all checks in parallel; one that fails or hangs does not affect the others."""

from __future__ import annotations

import time
from dataclasses import replace

from perennial._common import background_threads
from perennial.doctor import (
    alerts,
    configuration,
    installation,
    machine,
    online_stores,
    ports,
    postgres,
    serving,
    serving_log,
    stores,
    use_cases,
    web_servers,
)
from perennial.doctor.finding import Check, Examination, Finding, failed, warning
from perennial.errors import InvalidSetting, PerennialError
from perennial.services import secrets
from perennial.settings import settings

CHECKS = (
    Check("Installation", "Python", installation.python),
    Check("Installation", "Environment", installation.environment),
    Check("Installation", "Dependencies", installation.requirements),
    Check("Installation", "Lock file", installation.lock),
    Check("Settings", "Settings", configuration.values),
    Check("Settings", "names", configuration.names),
    Check("Settings", "project", configuration.project),
    Check("Ports", "ports", ports.ports),
    Check("Servers", "PostgreSQL", postgres.server),
    Check("Servers", "Catalog", postgres.catalog),
    Check("Servers", "MLflow", web_servers.mlflow),
    Check("Servers", "Airflow", web_servers.airflow),
    Check("Servers", "Prediction server", serving.server),
    Check("Servers", "Log of predictions", serving_log.log),
    Check("Servers", "Lake", stores.lake),
    Check("Servers", "Online store", online_stores.online_store),
    Check("Servers", "Alert routes", alerts.routes),
    Check("Machine", "Home", machine.home),
    Check("Machine", "Secrets", machine.secrets),
    Check("Machine", "Disk", machine.disk),
    Check("Machine", "Memory", machine.memory),
    Check("Use cases", "Use cases", use_cases.declarations),
    Check("Use cases", "Feast definitions", use_cases.definitions),
    Check("Use cases", "DAGs", use_cases.dags),
)
#: How long to wait for a check, in seconds.
PATIENCE = 60.0


def examine(checks: tuple[Check, ...] = CHECKS, patience: float = PATIENCE) -> Examination:
    """Run all checks at once, each in a thread of its own, and collect their findings.

    A check that raises counts as failed, one that does not end in time as a warning. No finding contains a secret,
    whatever a library put into its message.

    Args:
        checks: The checks to run.
        patience: How long to wait for them, in seconds.
    """
    began = time.monotonic()
    try:
        settings()
    except InvalidSetting as error:  # Nothing else can be checked.
        return Examination({"Settings": [failed("Settings", error.problem, error.fix)]}, time.monotonic() - began)
    by_check: dict[int, list[Finding]] = {}
    try:
        for thread in [background_threads.start(_run, check, number, by_check) for number, check in enumerate(checks)]:
            thread.join(max(0.0, began + patience - time.monotonic()))
    finally:
        use_cases.stop_processes()
    hidden = secrets.known_secrets()
    by_subject: dict[str, list[Finding]] = {}
    late = warning("", f"no answer within {patience:.0f} s", "Run it again when the machine is less busy.")
    for number, check in enumerate(checks):
        findings = by_check.get(number, [replace(late, name=check.name)])
        by_subject.setdefault(check.subject, []).extend(_without_secrets(finding, hidden) for finding in findings)
    return Examination(by_subject, time.monotonic() - began)


def _run(check: Check, number: int, by_check: dict[int, list[Finding]]) -> None:
    try:
        by_check[number] = list(check.run())
    except PerennialError as error:
        by_check[number] = [failed(check.name, error.problem, error.fix)]
    except PermissionError as error:
        fix = "Run it as the user who owns that, or change its owner or mode."
        by_check[number] = [failed(check.name, f"this user may not read {error.filename or error}", fix)]
    except Exception as error:
        message = f"the check itself failed: {type(error).__name__}: {error}"
        by_check[number] = [failed(check.name, message, "Please report it, with this line.")]


def _without_secrets(finding: Finding, hidden: frozenset[str]) -> Finding:
    """A finding in single lines, without any secret."""
    message, fix = (" ".join(secrets.redact(text, hidden).split()) for text in (finding.message, finding.fix))
    return replace(finding, message=message, fix=fix)
