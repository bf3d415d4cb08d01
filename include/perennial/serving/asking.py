"""Asks the prediction server about examples of the lake, each at its own moment: a rehearsal with known answers.

Where a challenger is tried, what it predicted in shadow of the same requests is compared, too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import BadFeatures, InvalidParams, ServiceUnavailable
from perennial.serving import asked_versions, requests, server_address, tokens
from perennial.serving.asked_versions import Said
from perennial.use_case import UseCase

#: Seconds that one request may take.
_PATIENCE = 60.0
#: For how long a token of our own is valid, should this process be killed.
_LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Answer:
    """What the server said to one request.

    Attributes:
        status: Of HTTP.
        seconds: How long it took.
        model_version: Which version answered; None: none did.
        prediction: The prediction; None: there is none.
        probabilities: Of a multi-class use case, class -> its probability.
        is_complete: Whether no feature was missing.
        problem: Why there is no prediction; empty: there is one.
        prediction_id: The prediction's, under which it is recorded.
        bounds: The prediction interval; None: there is none.
    """

    status: int
    seconds: float
    model_version: int | None = None
    prediction: float | str | None = None
    is_complete: bool = True
    problem: str = ""
    prediction_id: str | None = None
    probabilities: Mapping[str, float] | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Asked:
    """What came of all requests.

    Attributes:
        answers: One a request.
        labels: (n,) the labels that the lake knows, NaN where it knows none; of classes their places.
        seconds: From the first request to the last answer.
        metric: The use case's metric on the answered examples with a label; None: too few.
        address: The server's.
        said: What each version said, those that answered first; then what was said in shadow.
        left_out: Examples that nobody could ask about, since a field is null that no request may leave null.
    """

    answers: list[Answer]
    labels: np.ndarray
    seconds: float
    metric: float | None
    address: str
    said: list[Said] = field(default_factory=list)
    left_out: int = 0

    @property
    def by_version(self) -> dict[int, int]:
        """How many each version answered."""
        return dict(Counter(each.model_version for each in self.answers if each.model_version is not None))

    @property
    def failed(self) -> dict[str, int]:
        """Why requests were not answered, and how many."""
        return dict(Counter(each.problem for each in self.answers if each.problem))

    @property
    def incomplete(self) -> int:
        """Answers from which a feature was missing."""
        return sum(not each.is_complete for each in self.answers)

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        return float(np.quantile([each.seconds for each in self.answers], share))


def ask(use_case: UseCase, since: datetime, until: datetime, *, limit: int, clients: int) -> Asked:
    """Ask the prediction server about the examples of a span of event time, oldest first, one a request.

    Each request is sent as of its example's own moment and carries its key, so that it is recorded like any other
    served prediction. Examples that batch scoring has predicted already keep that prediction.

    Args:
        use_case: Whose.
        since: Event time (UTC) from which on examples are asked about.
        until: The first moment after them.
        limit: At most so many, the latest ones.
        clients: How many requests are under way at once.

    Raises:
        InvalidParams: the span is empty, or there are no examples in it.
        ServiceUnavailable: there is no server, none answers, or it does not serve the use case.
    """
    if until <= since:
        raise InvalidParams(f"{until:%Y-%m-%d %H:%M} is not after {since:%Y-%m-%d %H:%M}.", "Exchange --from and --to.")
    address = server_address.checked()
    with tokens.ours("ask", use_case.name, _LONGEST) as secret:
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=address, headers=headers, timeout=_PATIENCE) as server:
            examples, left_out = _examples(use_case, _fields(use_case, server), since, until)
            examples = examples.slice(max(examples.num_rows - limit, 0))
            trial = asked_versions.tried(use_case, server)
            path = requests.predict_path(use_case.name)
            started = time.perf_counter()
            with ThreadPoolExecutor(clients, thread_name_prefix="ask") as pool:
                answers = list(pool.map(lambda body: _send(server, path, body), _requests(examples)))
            seconds = time.perf_counter() - started
    labels = asked_versions.labels_of(use_case, examples["label"])
    said = asked_versions.answered(use_case, answers, labels, trial.version if trial is not None else None)
    if trial is not None:
        ids = [each.prediction_id for each in answers if each.prediction_id is not None]
        span = (use_case.cadence.at(moment) for moment in (since, until - timedelta(microseconds=1)))
        shadows = asked_versions.in_shadow(use_case, ids, *span)
        said += asked_versions.shadowed(use_case, shadows, answers, labels, trial.version)
    versions = {each.model_version for each in answers if each.model_version is not None}
    alone = versions.pop() if len(versions) == 1 else None
    metric = asked_versions.metric_of(use_case, asked_versions.predictions(use_case, answers), labels, alone)
    return Asked(answers, labels, seconds, metric, address, said, left_out)


def _fields(use_case: UseCase, server: httpx.Client) -> dict[str, bool]:
    """The fields of an example, as the server describes them, and whether each may be null."""
    try:
        response = server.get("/openapi.json")
    except httpx.HTTPError as error:
        raise server_address.no_answer(error) from error
    if response.status_code != httpx.codes.OK:
        raise ServiceUnavailable(
            f"The prediction server at {server.base_url} answered {response.status_code}: {_said(response)}",
            "If it reads its tokens from another home, set PERENNIAL_SERVING_TOKEN to one of its tokens.",
        )
    described = requests.described(response.json(), use_case.name)
    if described is None:
        raise ServiceUnavailable(
            f"The prediction server at {server.base_url} serves no version of use case {use_case.name!r}.",
            f"`perennial status {use_case.name}` says whether it has a champion.",
        )
    kinds = {name: schema.get("anyOf", [schema]) for name, schema in described[0]["properties"].items()}
    return {name: any(each.get("type") == "null" for each in listed) for name, listed in kinds.items()}


def _examples(use_case: UseCase, fields: Mapping[str, bool], since: datetime, until: datetime) -> tuple[pa.Table, int]:
    """The fields of the examples in the span, with their moments and labels, oldest first; and how many are left out.

    Without those that have a null where a request may have none: a flight whose aircraft is not known, for instance.
    """
    first, last = use_case.cadence.at(since), use_case.cadence.at(until - timedelta(microseconds=1))
    columns = list(dict.fromkeys([*fields, "event_timestamp", "label"]))
    rows = lake.read(use_case.tables.examples, between=(first.key, last.key), columns=columns)
    if rows is not None:
        moment = rows["event_timestamp"]
        rows = rows.filter(pc.and_(pc.greater_equal(moment, since), pc.less(moment, until)))
    if rows is None or not rows.num_rows:
        raise InvalidParams(
            f"Use case {use_case.name!r} has no examples from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC.",
            f"Name another span, or replay it: `perennial replay {use_case.name} --from {first.key} --to {last.key}`.",
        )
    if unknown := set(columns) - set(rows.column_names):
        raise BadFeatures(
            f"Use case {use_case.name!r}: the examples in the lake have no column {sorted(unknown)[0]!r}.",
            "Compute the features again: `perennial apply`.",
        )
    whole = askable(rows, fields)
    return whole.sort_by("event_timestamp"), rows.num_rows - whole.num_rows


def askable(examples: pa.Table, fields: Mapping[str, bool]) -> pa.Table:
    """The examples that a request may hold.

    Args:
        examples: With a column for each field.
        fields: Whether each may be null.
    """
    for name, may_be_null in fields.items():
        examples = examples if may_be_null else examples.filter(pc.is_valid(examples[name]))
    return examples


def _requests(examples: pa.Table) -> Iterator[bytes]:
    """The body of each example's request."""
    for batch in examples.drop_columns(["label"]).to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            moment = row.pop("event_timestamp")
            yield msgspec.json.encode({"examples": [row], "at": moment})


def _send(server: httpx.Client, path: str, body: bytes) -> Answer:
    started = time.perf_counter()
    try:
        response = server.post(path, content=body, headers={"Content-Type": "application/json"})
    except httpx.HTTPError as error:
        return Answer(0, time.perf_counter() - started, problem=type(error).__name__)
    seconds = time.perf_counter() - started
    if response.status_code != httpx.codes.OK:
        return Answer(response.status_code, seconds, problem=f"{response.status_code}: {_said(response)}")
    answer = response.json()
    (made,) = answer["predictions"]
    version = made.get("model_version", answer["model_version"])
    is_complete = not made.get("missing")
    bounds = (made["lower"], made["upper"]) if "lower" in made and "upper" in made else None
    return Answer(
        *(response.status_code, seconds, version, made["prediction"], is_complete),
        prediction_id=made["prediction_id"],
        probabilities=made.get("probabilities"),
        bounds=bounds,
    )


def _said(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
