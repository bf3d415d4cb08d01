"""Predictions on request: `predict`, `serve` and the tokens by which programs ask, `token`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, UseCaseName, app, example, note, parse_fields, say, show_json

if TYPE_CHECKING:
    from datetime import timedelta

    from perennial.served_predictions.traffic import Traffic
    from perennial.serving.answers import PredictionResponse
    from perennial.serving.tokens import ServiceToken


_FLIGHT = "origin=JFK carrier=AA dest=LAX route=JFK-LAX tailnum=N338AA hour=9 weekday=2 distance=2475"


@app.command(epilog=example(f"perennial predict flights {_FLIGHT} --at 2013-12-31T13:00:00Z"))
def predict(
    use_case: UseCaseName,
    values: Annotated[
        list[str],
        typer.Argument(
            help="The fields of one example: join keys, request features and, if wanted, its key. Empty: null.",
            metavar="FIELD=VALUE...",
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Count the ages of features to this moment, for instance 2013-12-31T18:00:00Z; by default now.",
        ),
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="Also show the features that the model saw.")] = False,
    as_json: AsJson = False,
) -> None:
    """Predict one example with the champion.

    Its features are the newest ones in the online store. Needs no server but the stores and MLflow. Nothing is
    recorded.
    """
    from perennial import discovery
    from perennial._common.heavy_imports import fast_imports
    from perennial.serving import predicting

    declared = discovery.load(use_case)
    request = parse_fields(values)
    moment = predicting.parse_moment(at) if at else None
    with fast_imports():
        from perennial.serving import loaded_version

    version = loaded_version.current(declared)
    answer = predicting.answer(version, [request], at=moment, features=features, from_text=True)
    if as_json:
        import msgspec

        show_json(msgspec.to_builtins(answer))
    else:
        _show(answer)


@app.command(epilog=example("perennial serve flights"))
def serve(
    use_cases: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of use cases; by default all that are not retired.",
            autocompletion=completion.use_cases,
            metavar="[USE_CASE...]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Processes, each of which uses one core; by default PERENNIAL_SERVING_WORKERS."
        ),
    ] = None,
) -> None:
    """Answer requests for predictions over HTTP, until stopped.

    Listens on PERENNIAL_SERVING_HOST and PERENNIAL_SERVING_PORT, 127.0.0.1:8090 by default; `perennial up` has started
    one there. A promotion or a rollback is followed in a second or two; without names, use cases that are added or
    retired are followed too. Callers show a token: `perennial token create`, or that of their login to Airflow.
    """
    import logging
    import os

    # Before NumPy and scikit-learn are loaded: a request is too small to be worth several threads.
    os.environ["OMP_NUM_THREADS"] = "1"
    from perennial import discovery
    from perennial._common import log_lines
    from perennial._common.heavy_imports import fast_imports
    from perennial.settings import settings

    named = [discovery.load(name) for name in dict.fromkeys(use_cases or ())]
    logging.basicConfig(level=logging.INFO, handlers=[log_lines.handler(settings().log_format)])
    logging.getLogger("perennial.serving").setLevel(logging.INFO)
    with fast_imports():
        from perennial.serving import server

    server.run(named or None, workers or settings().serving_workers)


@app.command(epilog=example("perennial traffic flights --hours 2"))
def traffic(
    use_case: UseCaseName,
    hours: Annotated[int, typer.Option(min=1, help="How far back.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Show what the prediction server answered lately.

    By version and by how it was served: how many predictions, how fast, how often without a prediction or without a
    feature. Read from the lake, where a prediction is recorded within about a minute.
    """
    from datetime import UTC, datetime, timedelta

    from perennial import discovery
    from perennial.served_predictions import traffic as recorded

    declared = discovery.load(use_case)
    counted = recorded.since(declared, datetime.now(UTC) - timedelta(hours=hours))
    if as_json:
        show_json([_plain(each) for each in counted])
    elif not counted:
        say(f"{use_case}: nothing was served in the last {hours} hours.")
    for each in [] if as_json else counted:
        say(_line(each))


def _plain(each: Traffic) -> dict[str, Any]:
    return vars(each) | {"first": each.first.isoformat(), "last": each.last.isoformat()}


def _line(each: Traffic) -> str:
    version = f" v{each.model_version}" if each.model_version else ""
    parts = [f"{each.predictions:,} predictions"]
    if each.per_second is not None:
        parts.append(f"{each.per_second:,.2f} a second")
    if each.p50 is not None:
        parts.append(f"p50 {each.p50:.1f}, p95 {each.p95:.1f}, p99 {each.p99:.1f} ms")
    parts += [f"{each.errors:.2%} failed", f"{each.incomplete:.2%} without some feature"]
    return f"{each.served_as}{version}: {', '.join(parts)}; last {each.last:%Y-%m-%d %H:%M:%S} UTC"


tokens = typer.Typer(help="Tokens by which programs ask the prediction server.", no_args_is_help=True)
app.add_typer(tokens, name="token", epilog=example("perennial token list"))

TokenName = Annotated[str, typer.Argument(help="The token's name.", metavar="NAME")]


@tokens.command(name="create", epilog=example("perennial token create checkout --use-case flights --expires 90d"))
def create_token(
    token: TokenName,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--use-case",
            metavar="USE_CASE",
            help="May ask this use case only; may be repeated.",
            autocompletion=completion.use_cases,
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Is refused after this long: 12h, 90d; by default never.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="May ask so often: 100/s, 600/m, 5000/h; by default without a limit."),
    ] = None,
    may_pin: Annotated[
        bool, typer.Option("--may-pin", help="May ask for another version than the one that serves.")
    ] = False,
    may_push: Annotated[bool, typer.Option("--may-push", help="May push rows of feature tables.")] = False,
    only_metrics: Annotated[
        bool,
        typer.Option(
            "--only-metrics",
            help="May read /metrics of the pipelines and of the prediction server, and nothing else: for Prometheus.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once: only its digest is stored."""
    from perennial import discovery
    from perennial.serving import tokens as stored

    names = [discovery.load(each).name for each in only or ()]
    limit = stored.parse_rate(rate) if rate is not None else None
    secret, made = stored.create(
        token,
        names,
        _lifetime(expires),
        rate=limit,
        may_pin=may_pin,
        may_push=may_push,
        only_metrics=only_metrics,
    )
    if as_json:
        show_json({"token": secret, **_described(made)})
    else:
        say(secret)
        note(f"Token {token} may ask {_scope(made)}{_limits(made)}. It is not shown again.")


@tokens.command(name="list", epilog=example("perennial token list"))
def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens; not what they are."""
    from perennial.serving import tokens as stored

    listed = stored.list_tokens()
    if as_json:
        show_json([_described(token) for token in listed])
    elif not listed:
        say("There are no tokens.")
    for token in [] if as_json else listed:
        say(f"{token.name}: {_scope(token)}, created {token.created:%Y-%m-%d}{_limits(token)}")


@tokens.command(name="revoke", epilog=example("perennial token revoke checkout"))
def revoke_token(token: TokenName, as_json: AsJson = False) -> None:
    """Delete a token: servers refuse it from the next request on."""
    from perennial.serving import tokens as stored

    stored.revoke(token)
    if as_json:
        show_json({"revoked": token})
    else:
        say(f"Token {token} is revoked.")


def _described(token: ServiceToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "use_cases": token.use_cases,
        "created": token.created.isoformat(),
        "expires": token.expires.isoformat() if token.expires else None,
        "rate": str(token.rate) if token.rate else None,
        "may_pin": token.may_pin,
        "may_push": token.may_push,
        "only_metrics": token.only_metrics,
    }


def _scope(token: ServiceToken) -> str:
    return ", ".join(token.use_cases) if token.use_cases is not None else "all use cases"


def _limits(token: ServiceToken) -> str:
    rate = f", {token.rate}" if token.rate else ""
    pins = ", chooses versions" if token.may_pin else ""
    pushes = ", pushes features" if token.may_push else ""
    metrics = ", for their metrics only" if token.only_metrics else ""
    return f"{rate}{pins}{pushes}{metrics}" + (f", expires {token.expires:%Y-%m-%d %H:%M} UTC" if token.expires else "")


def _lifetime(text: str | None) -> timedelta | None:
    from perennial.cli.durations import duration

    return None if text is None else duration(text, "--expires")


def _show(answer: PredictionResponse) -> None:
    (prediction,) = answer.predictions
    say(f"{answer.use_case} v{answer.model_version}: {prediction.prediction}")
    for name, share in sorted((prediction.probabilities or {}).items(), key=lambda item: -item[1]):
        say(f"  {name}: probability {share:.4f}")
    for name, value in (prediction.features or {}).items():
        reason = prediction.missing.get(name)
        say(f"  {name}: {'null' if value is None else value}{f' ({reason})' if reason else ''}")
    for view, moment in (prediction.event_timestamps or {}).items():
        say(f"  {view} as of {f'{moment:%Y-%m-%d %H:%M:%S} UTC' if moment else 'never'}")
    if prediction.missing and prediction.features is None:
        listed = ", ".join(f"{name} ({reason})" for name, reason in prediction.missing.items())
        say(f"  missing features, seen as null: {listed}")
