"""Which retraining policy would have been better: `backtest`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, UseCaseName, app, console, example, if_interrupted, say, show_json


@app.command(epilog=example("perennial backtest flights --jobs 2"))
def backtest(
    use_case: UseCaseName,
    first: Annotated[
        str | None,
        typer.Option(
            "--from", help="First partition; by default the use case's.", autocompletion=completion.partitions
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", help="Last partition; by default the newest.", autocompletion=completion.partitions),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="A policy to compare, for instance max_age=1,margin=0; may be repeated. By default some variations.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Fits that run at the same time, each on one core.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Replay retraining policies over the stored history.

    Compares the policy that is declared with variations, with the first model, with retraining at every partition and
    with the baseline model, and proposes a better one if that is proven. Nothing that serves is touched: no request, no
    version, no MLflow run, no row of the ledger. Killed or interrupted, the same command goes on where it was.
    """
    from perennial import discovery
    from perennial.backtesting import policies, report
    from perennial.cli.waiting import watched

    declared = discovery.load(use_case)
    compared = [policies.parse(declared, text) for text in policy] if policy else None
    begin = declared.partition(first) if first else declared.first
    end = declared.partition(last) if last else None
    if_interrupted("Nothing that serves was touched; the same command goes on with the fits that are left.")
    # A thread that waits for a busy core must sleep; read when the libraries below are loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with watched(use_case) as step:
        step("loading the libraries")
        from perennial._common.heavy_imports import fast_imports

        with fast_imports():
            from perennial.backtesting import records, running
            from perennial.training import planning
        if end is None:
            end = declared.partition(planning.newest_partition(declared))
        result = running.run(declared, begin, end, compared, jobs=jobs, progress=step)
        if begin == declared.first:
            records.append(declared, result)
    if as_json:
        show_json(result.as_json())
        return
    out = console()
    out.print(report.table(result))
    say(result.sentence())
    say(report.NOT_REPLAYED)
    say(report.UNTOUCHED)
