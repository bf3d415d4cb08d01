"""What monitoring tools of machines need: `telemetry export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.frame import AsJson, app, example, note, say, show_json

telemetry = typer.Typer(help="Files for Prometheus and Grafana.", no_args_is_help=True)
app.add_typer(telemetry, name="telemetry", epilog=example("perennial telemetry export --to monitoring"))


@telemetry.command(name="export", epilog=example("perennial telemetry export --to monitoring"))
def export_files(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder to write into; made if it is missing.")],
    alertmanager: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The Alertmanager that Prometheus sends alerts to; by default to none."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a scrape configuration and alerting rules for Prometheus, and a dashboard for Grafana.

    For the use cases that there are: write them again when one is added or retired. Prometheus needs a token in the
    file perennial.token beside its configuration: `perennial token create prometheus --only-metrics`.
    """
    from perennial.telemetry import export, scraping

    written = export.write(to, alertmanager)
    if as_json:
        show_json({"files": written})
        return
    for file in written:
        say(str(file))
    if not (to / scraping.TOKEN).exists():
        token = to / scraping.TOKEN
        note(f"Prometheus needs a token: (umask 077; perennial token create prometheus --only-metrics > {token})")
