"""Asking all questions side by side, none of which may fail, or last, for the others."""

from __future__ import annotations

import time
from dataclasses import replace

from perennial._common import background_threads
from perennial.doctor import (
    configuration,
    installation,
    machine,
    ports,
    secrets,
    stores,
    use_cases,
    web_servers,
)
from perennial.doctor.finding import Check, Examination, Finding, failed, warning
from perennial.errors import InvalidSetting, PerennialError
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
    Check("Servers", "PostgreSQL", stores.postgres),
    Check("Servers", "Catalog", stores.catalog),
    Check("Servers", "MLflow", web_servers.mlflow),
    Check("Servers", "Airflow", web_servers.airflow),
    Check("Servers", "Lake", stores.lake),
    Check("Servers", "Online store", stores.online_store),
    Check("Machine", "Home", machine.home),
    Check("Machine", "Secrets", machine.secrets),
    Check("Machine", "Disk", machine.disk),
    Check("Machine", "Memory", machine.memory),
    Check("Use cases", "Use cases", use_cases.declarations),
    Check("Use cases", "Feast definitions", use_cases.definitions),
    Check("Use cases", "DAGs", use_cases.dags),
)
#: When to go on without an answer, in seconds.
PATIENCE = 60.0


def examine(checks: tuple[Check, ...] = CHECKS, patience: float = PATIENCE) -> Examination:
    """Ask all `checks` at once, each in a thread of its own, and gather what they find.

    A check that raises has failed; one that has not answered after `patience` seconds is a warning. No finding holds a
    secret, whatever a library put into its message.
    """
    began = time.monotonic()
    try:
        settings()
    except InvalidSetting as error:  # Nothing else can be asked.
        return Examination({"Settings": [failed("Settings", error.problem, error.fix)]}, time.monotonic() - began)
    found: dict[int, list[Finding]] = {}
    try:
        for thread in [background_threads.start(_ask, check, number, found) for number, check in enumerate(checks)]:
            thread.join(max(0.0, began + patience - time.monotonic()))
    finally:
        use_cases.end()
    hush = secrets.known()
    by_subject: dict[str, list[Finding]] = {}
    late = warning("", f"no answer within {patience:.0f} s", "Run it again when the machine is less busy.")
    for number, check in enumerate(checks):
        findings = found.get(number, [replace(late, name=check.name)])
        by_subject.setdefault(check.subject, []).extend(_harmless(finding, hush) for finding in findings)
    return Examination(by_subject, time.monotonic() - began)


def _ask(check: Check, number: int, found: dict[int, list[Finding]]) -> None:
    try:
        found[number] = list(check.ask())
    except PerennialError as error:
        found[number] = [failed(check.name, error.problem, error.fix)]
    except PermissionError as error:
        mend = "Run it as the user whom that belongs to, or change its owner or mode."
        found[number] = [failed(check.name, f"this user may not look into {error.filename or error}", mend)]
    except Exception as error:
        said = f"the check itself failed: {type(error).__name__}: {error}"
        found[number] = [failed(check.name, said, "Please report it, with this line.")]


def _harmless(finding: Finding, secret: frozenset[str]) -> Finding:
    """A finding in single lines, without anything secret."""
    said, mend = (" ".join(secrets.hidden(text, secret).split()) for text in (finding.said, finding.mend))
    return replace(finding, said=said, mend=mend)
