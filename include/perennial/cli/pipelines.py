"""Running pipelines and checking what they left: `replay`, `trigger`, `parity`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import completion, runs
from perennial.cli.frame import (
    AsJson,
    DryRun,
    UseCaseName,
    Wait,
    app,
    console,
    example,
    if_interrupted,
    note,
    say,
    show_json,
)
from perennial.cli.quarantined import QuarantineRemarks
from perennial.dag_names import FEATURES, REFRESH
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.partitions import Partition
    from perennial.use_case import UseCase


@app.command(epilog=example("perennial replay flights --from 2013-01 --to 2013-12"))
def replay(
    use_case: UseCaseName,
    first: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PARTITION",
            help="First partition, for instance 2013-01.",
            autocompletion=completion.partitions,
        ),
    ],
    last: Annotated[
        str,
        typer.Option(
            "--to", metavar="PARTITION", help="Last partition, included.", autocompletion=completion.partitions
        ),
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run past partitions of a use case through its pipelines.

    One after another, on the running Airflow. Partitions that are complete are skipped; if it is stopped, it resumes
    where it was. What of a partition is in quarantine is shown below it.
    """
    from perennial import discovery
    from perennial.reporting import partition_status, terminal
    from perennial.runs import progress
    from perennial.runs.replay import partitions_between
    from perennial.runs.replay import replay as steps
    from perennial.services.airflow_api import AirflowClient

    declared = discovery.load(use_case)
    partitions = partitions_between(declared, first, last)
    if dry_run:
        _show_preview(declared, partitions, as_json)
        return
    if_interrupted("What Airflow is running continues; the same command resumes where it was.")
    sources = _sources(declared, note if as_json else say)
    remarks = QuarantineRemarks(declared)
    with AirflowClient(tell=note) as client:
        shown = remarks.in_errors(steps(client, declared, partitions, sources))
        progress.show(console(stderr=as_json), partitions, shown, remarks.of_step)
    if as_json:
        quarantine = {partition.key: remarks.as_json(partition.key) for partition in partitions}
        show_json(partition_status.status(declared).as_json() | {"quarantine": quarantine})
    else:
        console().print(terminal.table(partition_status.status(declared)))


@app.command(epilog=example("perennial trigger flights features --partition 2013-03 --wait"))
def trigger(
    use_case: UseCaseName,
    pipeline: Annotated[
        str,
        typer.Argument(
            help="features, scoring, monitoring, training, champion, rollout; where there is one, refresh or ahead.",
            autocompletion=completion.pipelines,
            metavar="PIPELINE",
        ),
    ],
    partition: Annotated[
        str | None,
        typer.Option(
            metavar="PARTITION", help="Partition to run, for instance 2013-03.", autocompletion=completion.partitions
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A parameter of the run; repeat for more.", autocompletion=completion.params
        ),
    ] = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Start a run of one pipeline.

    With --wait, a run of `features` ends with what of the partition is in quarantine, why, and where to review it.
    """
    from perennial import discovery

    declared = discovery.load(use_case)
    tell = note if as_json else say
    params = _params(param or [])
    if pipeline in (FEATURES, REFRESH) and "sources" not in params and (sources := _sources(declared, tell)):
        params["sources"] = sources
    show = show_json if as_json else lambda result: None
    if dry_run:
        show(runs.would_run(declared, pipeline, partition=partition, params=params, tell=tell))
    else:
        show(runs.run(declared, pipeline, partition=partition, params=params, tell=tell, wait=wait, failed=show))


@app.command(name="parity", epilog=example("perennial parity flights --keys 500"))
def show_parity(
    use_case: UseCaseName,
    keys: Annotated[
        int, typer.Option(min=1, metavar="NUMBER", help="Entities of each view, or predictions, to compare.")
    ] = 100,
    logged: Annotated[
        str | None,
        typer.Option(
            metavar="PARTITION",
            help="Compare the features that were logged with this partition's predictions instead.",
            autocompletion=completion.partitions,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check online/offline consistency of a use case's features.

    Compares what the online store serves with the lake, value by value, for the same moment; fails if values differ,
    or if a view is not as fresh as it declares.
    """
    from perennial import discovery
    from perennial.cli.waiting import watched
    from perennial.feature_store.parity import report

    declared = discovery.load(use_case)
    partition = declared.partition(logged) if logged else None
    with watched(f"consistency of {use_case}") as step:
        step("loading the feature store")
        from perennial.feature_store import parity  # Heavy: after what was asked for is known to exist.

        logged_check = parity.check_logged(declared, partition, keys, step) if partition else None
        result = logged_check or parity.check_online(declared, keys=keys, progress=step)
    if as_json:
        show_json(result.as_json())
    else:
        console().print(report.table(result))
    report.raise_if_inconsistent(declared, result)


def _sources(use_case: UseCase, tell: Callable[[str], None]) -> dict[str, str]:
    """The places of sources that this command's environment names: its runs read those. Each is told."""
    from perennial.ingestion import places

    sources = places.seen_here(use_case)
    for name, place in sources.items():
        tell(f"The runs read {name}={places.shown(place)}, as this shell has it.")
    return sources


def _show_preview(use_case: UseCase, partitions: list[Partition], as_json: bool) -> None:
    """Show what a replay would do with each partition."""
    from dataclasses import asdict

    from perennial.errors import ServiceUnavailable
    from perennial.runs.replay_preview import PartitionPreview, preview

    tell = note if as_json else say
    try:
        with runs.asking() as client:
            previews = preview(client, use_case, partitions)
    except ServiceUnavailable as error:
        previews = [PartitionPreview(partition.key, "unknown") for partition in partitions]
        tell(f"Now it would fail: {error.problem}")
    if as_json:
        show_json([asdict(each) for each in previews])
        return
    words = {
        "skip": "is complete, and would be skipped",
        "run": "would run features, scoring and monitoring, and training if monitoring requests it",
        "run again": "its failed tasks would be run again, once",
        "follow": "its runs would be followed to their end",
        "unknown": "would run the pipelines that Airflow has not run yet",
    }
    for each in previews:
        states = ", ".join(f"{pipeline} {state}" for pipeline, state in each.states.items())
        say(f"{use_case.name} {each.partition}: {words[each.todo]}{f' ({states})' if states else ''}")


def _params(pairs: list[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON (a number, true, null) becomes that, anything else is text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidParams(f"--param {pair!r} is not of the form k=v.", "Write for instance --param seed=7.")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params
