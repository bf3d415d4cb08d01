"""What the pipelines cost: `costs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.frame import AsJson, UseCaseOrAll, app, console, example, say, show_json

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.settings import Prices
    from perennial.telemetry.costs import Cost


@app.command(epilog=example("perennial costs flights"))
def costs(
    use_case: UseCaseOrAll = None,
    months: Annotated[int, typer.Option(min=1, help="How many months to show, the newest first.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show what runs cost, by month and pipeline.

    CPU time, memory, bytes read and written; in money where PERENNIAL_PRICES says what they cost. Months are those of
    the runs, not of the partitions that they are about.
    """
    from perennial import discovery
    from perennial.settings import settings
    from perennial.telemetry import costs as recorded

    declared = [discovery.load(use_case)] if use_case else discovery.load_all()[0]
    prices = settings().prices
    found = {
        name: of_one.newest(months)
        for name, of_one in recorded.of_use_cases([each.name for each in declared], prices).items()
    }
    currency = prices.currency if prices is not None else ""
    if as_json:
        told = {name: [each.as_json() for each in of_one] for name, of_one in found.items()}
        show_json({"currency": currency, "use_cases": told})
    elif not any(found.values()):
        say("No run has been recorded yet.")
    else:
        console().print(_table(found, prices))


def _table(found: dict[str, list[Cost]], prices: Prices | None) -> Table:
    from rich import box
    from rich.table import Table

    from perennial.telemetry.costs import amount

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("use case", "month", "pipeline"):
        drawn.add_column(heading, no_wrap=True)
    money = ("cost", "a run") if prices is not None else ()
    for heading in ("runs", "CPU h", "GB h", "GB read", "GB written", *money):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for name, of_one in found.items():
        for each in of_one:
            amounts = (each.money, each.money_a_run)
            numbers = (each.cpu_hours, each.gb_hours, each.gb_read, each.gb_written)
            drawn.add_row(
                name,
                each.month,
                each.pipeline,
                f"{each.runs:,}",
                *(f"{number:,.3f}" for number in numbers),
                *(amount(one, prices) for one in amounts if one is not None and prices is not None),
            )
    return drawn
