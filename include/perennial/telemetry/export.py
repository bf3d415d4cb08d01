"""Writes what Prometheus and Grafana need to watch this installation: scrape configuration, rules, a dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from perennial import discovery
from perennial.errors import InvalidParams
from perennial.settings import settings
from perennial.telemetry import dashboard, rules, scraping

#: The files, in a folder of the caller's choice.
CONFIGURATION, RULES, DASHBOARD = "prometheus.yml", "perennial_rules.yml", "perennial_dashboard.json"
#: In each file: by it a later export knows that it may write the file again.
MARKER = "Written by `perennial telemetry export`, which writes it again: changes by hand are lost."
_ADDRESS = re.compile(r"([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}")


def write(folder: Path, alertmanager: str | None = None) -> list[Path]:
    """Write the files for the use cases there are; earlier ones of this command are replaced.

    Args:
        folder: Where to; made if it is not there.
        alertmanager: `host:port` of the Alertmanager that alerts are sent to; None: to none.

    Returns:
        The files.

    Raises:
        InvalidParams: a file of that name is not this command's, or the Alertmanager has no such address.
        PerennialError: the folder cannot be written.
    """
    if alertmanager is not None and not _ADDRESS.fullmatch(alertmanager):
        raise InvalidParams(f"{alertmanager!r} is no address of an Alertmanager.", "Write it as 127.0.0.1:9093.")
    declared, _ = discovery.load_all()
    active = [use_case for use_case in declared if discovery.retirement(use_case.name) is None]
    pages = f"{settings().airflow_public_uri.rstrip('/')}/perennial"
    contents = {
        CONFIGURATION: _yaml(scraping.configuration(settings(), RULES, alertmanager)),
        RULES: _yaml(rules.groups(active, pages)),
        DASHBOARD: json.dumps(dashboard.dashboard([one.name for one in active], MARKER), indent=2) + "\n",
    }
    files = [folder / name for name in contents]
    if others := [file for file in files if file.exists() and MARKER not in file.read_text(errors="replace")]:
        raise InvalidParams(
            f"{others[0]} was not written by `perennial telemetry export`.", "Choose another folder, or move the file."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in zip(files, contents.values(), strict=True):
        file.write_text(content, encoding="utf-8")
    return files


def _yaml(content: dict[str, Any]) -> str:
    import yaml

    return f"# {MARKER}\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
