"""Predictions on request: `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.cli.frame import AsJson, UseCaseName, app, example, say, show_json
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.serving.answers import PredictionResponse


_FLIGHT = "origin=JFK carrier=AA dest=LAX route=JFK-LAX tailnum=N338AA hour=9 weekday=1 distance=2475"


@app.command(epilog=example(f"perennial predict flights {_FLIGHT}"))
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
    """Predict one example with the champion, from the newest features in the online store.

    Needs no server but the stores and MLflow. Nothing is recorded.
    """
    from perennial import discovery
    from perennial._common.heavy_imports import fast_imports
    from perennial.serving import predicting

    declared = discovery.load(use_case)
    request = _fields(values)
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


def _fields(values: list[str]) -> dict[str, Any]:
    """The example that `FIELD=VALUE` arguments describe."""
    request: dict[str, Any] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise InvalidParams(f"{each!r} is not of the form FIELD=VALUE.", "Write for instance carrier=AA.")
        if name in request:
            raise InvalidParams(f"{name!r} is given twice.", "Give it once.")
        request[name] = value if value else None
    return request


def _show(answer: PredictionResponse) -> None:
    (prediction,) = answer.predictions
    say(f"{answer.use_case} v{answer.model_version}: {prediction.prediction}")
    for name, value in (prediction.features or {}).items():
        reason = prediction.missing.get(name)
        say(f"  {name}: {'null' if value is None else value}{f' ({reason})' if reason else ''}")
    for view, moment in (prediction.event_timestamps or {}).items():
        say(f"  {view} as of {f'{moment:%Y-%m-%d %H:%M:%S} UTC' if moment else 'never'}")
    if prediction.missing and prediction.features is None:
        listed = ", ".join(f"{name} ({reason})" for name, reason in prediction.missing.items())
        say(f"  missing features, seen as null: {listed}")
