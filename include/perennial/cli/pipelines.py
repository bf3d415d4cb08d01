"""Running pipelines and checking what they left: `replay`, `trigger`, `parity`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from perennial.cli import runs
from perennial.cli.frame import UseCaseName, app, console, example, say
from perennial.errors import InvalidParams


@app.command(epilog=example("perennial replay flights --from 2013-01 --to 2013-12"))
def replay(
    use_case: UseCaseName,
    first: Annotated[str, typer.Option("--from", help="First partition, for instance 2013-01.")],
    last: Annotated[str, typer.Option("--to", help="Last partition, included.")],
) -> None:
    """Bring a use case through its past, partition by partition, on the running Airflow."""
    from perennial import discovery, progress, status
    from perennial.airflow_api import AirflowClient
    from perennial.replay import partitions
    from perennial.replay import replay as steps

    found = discovery.load(use_case)
    wanted = partitions(found, first, last)
    out = console()
    try:
        with AirflowClient() as client:
            progress.show(out, wanted, steps(client, found, wanted))
    except KeyboardInterrupt:
        say("Stopped. What Airflow runs now goes on; the same command picks up where it was.")
        raise typer.Exit(130) from None
    out.print(status.table(status.status(found)))


@app.command(epilog=example("perennial trigger flights features --partition 2013-03 --wait"))
def trigger(
    use_case: UseCaseName,
    pipeline: Annotated[str, typer.Argument(help="features, scoring, monitoring, training or champion.")],
    partition: Annotated[str | None, typer.Option(help="Partition to run, for instance 2013-03.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the DAG, k=v; repeat for more.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; fail if the run fails.")] = False,
) -> None:
    """Start one pipeline by hand."""
    from perennial import discovery

    found = discovery.load(use_case)
    runs.run(found, pipeline, partition=partition, params=_params(param or []), wait=wait)


@app.command(name="parity", epilog=example("perennial parity flights --keys 500"))
def show_parity(
    use_case: UseCaseName,
    keys: Annotated[int, typer.Option(min=1, help="Entities of each view, or predictions, to compare.")] = 100,
    logged: Annotated[
        str | None,
        typer.Option(metavar="PARTITION", help="Compare the features kept with this partition's predictions instead."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold what is online, value for value, against what the lake gives for the same moment; fail if they differ."""
    from perennial import discovery, parity_report

    found = discovery.load(use_case)
    partition = found.partition(logged) if logged else None
    from perennial import parity  # Heavy: after what was asked for is known to exist.

    result = parity.check_logged(found, partition, keys) if partition else parity.check(found, keys=keys)
    if as_json:
        print(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    else:
        console().print(parity_report.table(result))
    parity_report.insist(found, result)


def _params(given: list[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON (a number, true, null) becomes that, anything else is text."""
    params: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidParams(f"--param {pair!r} is not of the form k=v.", "Write for instance --param seed=7.")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params
