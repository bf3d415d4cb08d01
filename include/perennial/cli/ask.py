"""`ask`: requests about examples of the lake, and what each version said to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli.frame import AsJson, UseCaseName, app, console, example, say, show_json
from perennial.errors import ServiceUnavailable

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.serving.asked_versions import Said
    from perennial.serving.asking import Asked
    from perennial.use_case import UseCase

#: Of requests, by how they are called.
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_NOTHING = "–"


@app.command(epilog=example("perennial ask flights --from 2013-12-29 --to 2014-01-01"))
def ask(
    use_case: UseCaseName,
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="Event time of the first example, UTC.")],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="The first moment after the last example.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many examples, the latest ones.")] = 1000,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Requests under way at once.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Ask the prediction server about the lake's examples.

    Sends each example of a span of event time to the server as a request of its own, at its own moment, and compares
    the answers with the labels, version by version. Where a challenger is tried, or a version was put in shadow, what
    it predicted of the same requests is shown beside them. The server records what it answers, as always; what batch
    scoring has predicted stays.
    """
    from perennial import discovery
    from perennial._common.heavy_imports import fast_imports
    from perennial.serving.predicting import parse_moment

    declared = discovery.load(use_case)
    first, end = parse_moment(since), parse_moment(until)
    with fast_imports():
        from perennial.serving import asking

    asked = asking.ask(declared, first, end, limit=limit, clients=clients)
    if as_json:
        show_json(_summary(declared.gate.metric, asked))
    else:
        _show_asked(declared, asked)
    if asked.failed:
        raise ServiceUnavailable(
            f"{sum(asked.failed.values())} of {len(asked.answers)} requests were not answered.",
            "The reasons are above; the server's log has more.",
        )


def _summary(metric: str, asked: Asked) -> dict[str, Any]:
    return {
        "asked": len(asked.answers),
        "left_out": asked.left_out,
        "by_version": asked.by_version,
        "failed": asked.failed,
        "incomplete": asked.incomplete,
        "seconds": asked.seconds,
        "latency_ms": {name: 1000 * asked.quantile(share) for name, share in _SHARES.items()},
        metric: asked.metric,
        "address": asked.address,
        "versions": [
            {
                "version": each.version,
                "served_as": each.served_as,
                "requests": each.requests,
                "failed": each.failed,
                "latency_ms": {name: _milliseconds(each, share) for name, share in _SHARES.items()},
                metric: each.metric,
                "interval_coverage": each.interval_coverage,
            }
            for each in asked.said
        ],
    }


def _show_asked(use_case: UseCase, asked: Asked) -> None:
    rate = len(asked.answers) / asked.seconds
    say(f"{use_case.name}: {len(asked.answers):,} requests to {asked.address}, {rate:,.0f} a second")
    if asked.left_out:
        say(f"{asked.left_out:,} examples of the span were left out: a field is null that no request may leave null")
    if asked.incomplete:
        say(f"{asked.incomplete:,} answered without some of their features")
    for reason, count in asked.failed.items():
        say(f"{count:,} not answered: {reason}")
    for each in asked.said:
        if each.failed:
            say(f"{each.failed:,} that v{each.version} failed to predict in shadow")
    if asked.said:
        console().print(_table_of_versions(use_case, asked))


def _table_of_versions(use_case: UseCase, asked: Asked) -> Table:
    """A row for each version and how it was served; in shadow there is no latency, because nobody waits."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    drawn.add_column("version")
    drawn.add_column("served as")
    has_intervals = any(each.interval_coverage is not None for each in asked.said)
    within = ("within interval",) if has_intervals else ()
    for heading in ("requests", *(f"{name} ms" for name in _SHARES), use_case.gate.metric, *within):
        drawn.add_column(heading, justify="right")
    for each in asked.said:
        waited = [_milliseconds(each, share) for share in _SHARES.values()]
        drawn.add_row(
            f"v{each.version}",
            each.served_as,
            f"{each.requests:,}",
            *(_NOTHING if took is None else f"{took:.1f}" for took in waited),
            _NOTHING if each.metric is None else f"{each.metric:.4f}",
            *([_NOTHING if each.interval_coverage is None else f"{each.interval_coverage:.1%}"] if within else []),
        )
    return drawn


def _milliseconds(said: Said, share: float) -> float | None:
    seconds = said.quantile(share)
    return None if seconds is None else 1000 * seconds
