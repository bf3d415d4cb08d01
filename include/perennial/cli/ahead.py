"""What predictions ahead of time cost: `ahead`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, UseCaseName, app, console, example, show_json
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.scoring_ahead.backtest import Backtest
    from perennial.use_case import UseCase


@app.command(epilog=example("perennial ahead flights 2013-12 --lead 1d --lead 1h"))
def ahead(
    use_case: UseCaseName,
    partition: Annotated[
        str,
        typer.Argument(
            metavar="PARTITION", help="A past partition, for instance 2013-12.", autocompletion=completion.partitions
        ),
    ],
    lead: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="How long before their moment to predict its examples: 1h, 2d; may be repeated. By default the leads"
            " that the use case declares.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what predicting ahead of time costs.

    Predicts the partition's examples again by its champion, from the features that were known so long before. A
    backtest: nothing is recorded.
    """
    from perennial import discovery
    from perennial.cli.durations import duration
    from perennial.cli.waiting import watched

    declared = discovery.load(use_case)
    chosen = declared.partition(partition)
    leads = [duration(each, "--lead") for each in lead or ()]
    if not leads and declared.examples.ahead is None:
        raise InvalidParams(f"Use case {use_case!r} predicts nothing ahead.", "Say how long: --lead 1d.")
    with watched(f"predictions of {use_case} {partition}, ahead of time") as step:
        step("loading the feature store")
        from perennial.scoring_ahead.backtest import backtest  # Heavy: after the arguments are known to be right.

        step("predicting")
        result = backtest(declared, chosen, leads or (declared.examples.ahead.leads if declared.examples.ahead else ()))
    if as_json:
        show_json(result.as_json())
    else:
        console().print(_table(declared, result))


def _table(use_case: UseCase, result: Backtest) -> Table:
    from rich.table import Table

    from perennial.cli.durations import shown

    names = [use_case.gate.metric, *sorted(result.leads[0].metrics.keys() - {use_case.gate.metric})]
    title = f"{use_case.name} {result.partition}, v{result.version}, {result.examples:,} examples with a label"
    table = Table("predicted ahead by", *names, "features not known", title=title, title_justify="left")
    for each in result.leads:
        values = [f"{each.metrics[name]:.4f}" if name in each.metrics else "-" for name in names]
        table.add_row(shown(each.lead) if each.lead else "not ahead", *values, f"{each.not_known:.1%}")
    return table
