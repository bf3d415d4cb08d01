"""Why a version predicted what it did: `explain`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, UseCaseName, app, console, example, parse_fields, say, show_json

if TYPE_CHECKING:
    from perennial.analysis.explanation import Explanation

#: Features that are shown unless all are asked for.
_SHOWN = 15


@app.command(epilog=example("perennial explain flights --key flight_id=20131224-AA1-JFK-LAX-0900 --partition 2013-12"))
def explain(
    use_case: UseCaseName,
    key: Annotated[
        list[str],
        typer.Option("--key", metavar="FIELD=VALUE", help="The example's key; once for each of its columns."),
    ],
    partition: Annotated[
        str | None,
        typer.Option(
            help="The partition that it is in; by default all are searched.",
            autocompletion=completion.partitions,
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            help="The version to explain; by default the one that made the prediction.",
            autocompletion=completion.versions,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"Show every feature, not the first {_SHOWN}.")] = False,
    as_json: AsJson = False,
) -> None:
    """Explain a stored prediction.

    Shows by how much each feature, at the value it had then, moved the prediction away from the version's mean
    prediction: Shapley values, against a sample of the rows that the version was fitted on. Predicts at most some
    200,000 rows, and stores nothing. Needs the extra `explain`.
    """
    # Before shap is loaded: compiling its loops takes seconds, which so few rows never win back.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from perennial.analysis import explanation

    explained = explanation.explain(use_case, parse_fields(key), partition=partition, version=version)
    if as_json:
        show_json(asdict(explained) | {"remark": explained.remark})
    else:
        _show(explained, None if everything else _SHOWN)


def _show(explained: Explanation, most: int | None) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    described = ", ".join(f"{name}={value}" for name, value in explained.key.items())
    say(f"{explained.use_case} v{explained.version}, {described}, {explained.event_timestamp:%Y-%m-%d %H:%M} UTC")
    if explained.remark:
        say(f"Note: {explained.remark}.")
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    drawn.add_column("feature")
    drawn.add_column("value")
    drawn.add_column("contribution", justify="right")
    shown = explained.contributions[:most]
    for each in shown:
        drawn.add_row(
            each.feature, "null" if each.value is None else escape(str(each.value)), f"{each.contribution:+.4f}"
        )
    if rest := explained.contributions[len(shown) :]:
        drawn.add_row(f"{len(rest)} more", "", f"{sum(each.contribution for each in rest):+.4f}")
    console().print(drawn)
    say(
        f"{explained.base:.4f} (mean prediction of {explained.background_rows} training rows)"
        f" {explained.prediction - explained.base:+.4f} (all contributions) = {explained.prediction:.4f}, in"
        f" {explained.unit}"
    )
