"""The configuration by which Prometheus scrapes this installation."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from perennial.settings import Settings

#: The jobs: the pipelines, and the prediction server.
PIPELINES, SERVING = "perennial", "perennial-serving"
#: Where Prometheus finds the token: beside its configuration.
TOKEN = "perennial.token"  # noqa: S105 - the name of a file


def configuration(settings: Settings, rules: str, alertmanager: str | None = None) -> dict[str, Any]:
    """What Prometheus reads when it starts.

    Args:
        settings: Where the servers are; those that Prometheus asks, by the addresses that this process knows them by.
        rules: The name of the file of rules, beside the configuration.
        alertmanager: `host:port` of the Alertmanager that alerts are sent to; None: to none.
    """
    jobs = [_job(PIPELINES, settings.airflow_uri, "/perennial/metrics")]
    if settings.serving_uri != "none":
        jobs.append(_job(SERVING, settings.serving_uri, "/metrics"))
    written: dict[str, Any] = {
        "global": {"scrape_interval": "1m", "evaluation_interval": "1m"},
        "rule_files": [rules],
        "scrape_configs": jobs,
    }
    if alertmanager is not None:
        written["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return written


def _job(name: str, address: str, path: str) -> dict[str, Any]:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return {
        "job_name": name,
        "scheme": parts.scheme,
        "metrics_path": f"{parts.path.rstrip('/')}{path}",
        "scrape_timeout": "30s",
        "authorization": {"credentials_file": TOKEN},
        "static_configs": [{"targets": [f"{host}:{port}"]}],
    }
