"""What fresher features would be worth: `staleness`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, UseCaseName, app, console, example, if_interrupted, show_json


@app.command(epilog=example("perennial staleness flights"))
def staleness(
    use_case: UseCaseName,
    version: Annotated[
        int | None,
        typer.Option(
            "--version",
            min=1,
            help="A registered version; by default the champion.",
            autocompletion=completion.versions,
            metavar="VERSION",
        ),
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit the estimator again on the features of each freshness; slow.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what fresher or staler features would be worth.

    Predicts the holdout of the champion with each view's rows published at once, hourly, and once a partition, in
    place of as they declare. Changes nothing.
    """
    from perennial import discovery
    from perennial.analysis.staleness_report import table
    from perennial.cli.waiting import watched

    declared = discovery.load(use_case)
    if_interrupted("Nothing was changed, and nothing continues; the same command starts again.")
    # A thread that waits for a busy core must sleep; read when the libraries below are loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with watched(use_case) as step:
        step("loading the libraries")
        from perennial._common.heavy_imports import fast_imports

        with fast_imports():
            from perennial.analysis.staleness import measure
        report = measure(declared, version, refit=refit, progress=step)
    if as_json:
        show_json(report.as_json())
    else:
        console().print(table(report))
