"""What is wrong by the prediction server: no answer, a version that cannot be loaded, failed or slow requests.

The server counts from its start, so two looks tell what happened between them; the earlier one is kept in a file of the
home. A worker whose home is its own compares with its own earlier look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import INSTALLATION, Reason, Subject
from perennial.errors import PerennialError
from perennial.services.credentials import write_private
from perennial.serving import server_address, tokens
from perennial.settings import settings

REASONS: frozenset[Reason] = frozenset({"serving"})
SERVER, VERSION, ERRORS, LATENCY = "server", "version", "errors", "latency"
#: Seconds that are waited for the server.
PATIENCE = 5.0
#: A server that has answered before, and does not for so long, is gone.
SILENCE = timedelta(minutes=4)
#: From which share of requests on something is wrong, in steps, and when it is critical; and below which it is over.
STEPS, CRITICAL, OVER = (0.05, 0.2, 0.5), 0.2, 0.025
#: So many requests are enough to tell; after `LONGEST` fewer are.
ENOUGH, LONGEST = 20, timedelta(hours=1)
#: A request is slow that takes longer; one of the bounds of the server's histogram, in seconds.
SLOW = "1.0"


@dataclass(frozen=True)
class Counts:
    """What the server has counted of one use case since it started.

    Attributes:
        requests: Requests that were answered, or failed by the server's fault.
        errors: Those that failed: status 500 and above.
        answered, slow: Those that were answered, and how many of them took longer than `SLOW` seconds.
    """

    requests: float = 0
    errors: float = 0
    answered: float = 0
    slow: float = 0

    def since(self, earlier: Counts) -> Counts:
        """What was counted between two looks; a server that was started meanwhile has counted from nothing."""
        if self.requests < earlier.requests or self.answered < earlier.answered:
            return self
        return Counts(*(now - before for now, before in zip(vars(self).values(), vars(earlier).values(), strict=True)))


@dataclass(frozen=True)
class Look:
    """What is kept from one look to the next.

    Attributes:
        at: When the counts of a use case were last compared; by use case.
        silent_since: Since when the server does not answer; None: it does.
        has_answered: It has ever.
    """

    counts: Mapping[str, Counts] = field(default_factory=dict)
    at: Mapping[str, datetime] = field(default_factory=dict)
    silent_since: datetime | None = None
    has_answered: bool = False


def read(use_cases: Iterable[str], now: datetime, *, keep: bool = True) -> dict[str, Reading]:
    """What the server that runs tells, by use case; of the installation by an empty name. None is asked where none is.

    Args:
        use_cases: Names.
        now: Processing time, UTC.
        keep: Whether the next look compares with this one.

    Raises:
        PerennialError: the server does not let us read its counters, or another account's program listens there.
    """
    names = list(use_cases)
    if settings().serving_uri == "none":
        over = {
            Subject("serving", each): Ending("there is no prediction server")
            for each in (SERVER, VERSION, ERRORS, LATENCY)
        }
        return {name: Reading(endings=over, read=REASONS) for name in (INSTALLATION, *names)}
    before = load()
    try:
        states = httpx.get(f"{server_address.checked()}/ready", timeout=PATIENCE).json()["use_cases"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        look, silence = silent(before, now, f"{type(error).__name__}: {error}")
        if keep:
            save(look)
        return {INSTALLATION: silence}
    counted = parse(_metrics()) if names else {}
    look, found = compared(before, counted, names, now)
    if keep:
        save(look)
    for name in names:
        found[name] += _version(name, states.get(name))
    answers = {Subject("serving", SERVER): Ending("it answers")}
    return found | {INSTALLATION: Reading(endings=answers, read=REASONS)}


def _metrics() -> str:
    if settings().serving_token is None and not tokens.path().exists():
        raise PerennialError(
            f"{settings().serving_uri} is no server of this home, and no token is set.",
            "Set PERENNIAL_SERVING_TOKEN where Airflow's workers run.",
        )
    with _token() as secret:
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            answer = httpx.get(f"{server_address.checked()}/metrics", headers=headers, timeout=PATIENCE)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise PerennialError(f"The prediction server's counters cannot be read: {error}") from error
        return answer.text


@contextmanager
def _token() -> Iterator[str]:
    """The token that is set, or else one that reads counters only, for as long as it is needed."""
    given = settings().serving_token
    if given is not None:
        yield given.get_secret_value()
        return
    name = f"alerts-{uuid4().hex[:12]}"
    secret, _ = tokens.create(name, lifetime=timedelta(minutes=10), only_metrics=True)
    try:
        yield secret
    finally:
        tokens.revoke(name)


def parse(exposition: str) -> dict[str, Counts]:
    """What a server has counted, by use case.

    Args:
        exposition: In Prometheus' text format.
    """
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            of_one = found.setdefault(sample.labels.get("use_case", ""), dict.fromkeys(Counts().__dict__, 0.0))
            if sample.name == "perennial_serving_requests_total":
                failed = sample.labels["status"] >= "500"
                # What the caller did wrong is no failure, and no success.
                of_one["requests"] += sample.value if failed or sample.labels["status"] == "200" else 0
                of_one["errors"] += sample.value if failed else 0
            elif sample.name == "perennial_serving_seconds_bucket" and sample.labels["le"] in (SLOW, "+Inf"):
                of_one["slow"] += sample.value if sample.labels["le"] == "+Inf" else -sample.value
            elif sample.name == "perennial_serving_seconds_count":
                of_one["answered"] += sample.value
    return {name: Counts(**numbers) for name, numbers in found.items() if name}


def compared(
    before: Look, counted: Mapping[str, Counts], use_cases: Iterable[str], now: datetime
) -> tuple[Look, dict[str, Reading]]:
    """What happened since the look before, by use case, and what to keep for the next one.

    Args:
        before: The look before.
        counted: The counts now.
        use_cases: Names.
        now: Processing time, UTC.
    """
    counts, at, found = dict(before.counts), dict(before.at), {}
    for name in use_cases:
        newest, since = counted.get(name, Counts()), before.at.get(name)
        if since is not None and since > now:  # The clock was set back: else few requests were waited with until then.
            since = at[name] = now
        lately = newest.since(before.counts.get(name, Counts()))
        is_over = since is not None and now - since >= LONGEST
        if since is None or lately.requests >= ENOUGH or is_over:
            counts[name], at[name] = newest, now
        # Of the first look nothing is known: what was counted may be of any time.
        is_enough = since is not None and (lately.requests >= ENOUGH or (is_over and lately.requests > 0))
        found[name] = _requests(name, lately, since) if is_enough and since is not None else _unknown()
    return Look(counts, at, None, True), found


def _unknown() -> Reading:
    return Reading(read=REASONS, undecided=frozenset({Subject("serving", ERRORS), Subject("serving", LATENCY)}))


def _requests(name: str, lately: Counts, since: datetime) -> Reading:
    failing = _share(name, ERRORS, lately.errors, lately.requests, since, "failed", "Callers got no prediction.")
    worse = "Callers that wait no longer got no prediction."
    slow = _share(name, LATENCY, lately.slow, lately.answered, since, f"took longer than {float(SLOW):g} s", worse)
    return Reading(read=REASONS) + failing + slow


def _share(name: str, subject: str, many: float, of: float, since: datetime, what: str, meaning: str) -> Reading:
    about = Subject("serving", subject)
    share = many / of if of else 0.0
    evidence = {"since": since, "requests": of, subject: many, "share": share}
    step = max((each for each in STEPS if share >= each), default=None)
    if step is None:
        if share > OVER:
            return Reading(undecided=frozenset({about}))
        return Reading(
            endings={about: Ending(f"{share:.1%} of {of:,.0f} requests {what} since {since:%H:%M} UTC", evidence)}
        )
    finding = Finding(
        *about,
        "critical" if step >= CRITICAL else "warning",
        f"{step:.0%} of requests for predictions or more {what}",
        meaning,
        "Read the prediction server's log; `perennial doctor` checks what it serves.",
        page(name, "serving"),
        evidence,
    )
    return Reading((finding,))


def _version(name: str, state: Mapping[str, Any] | None) -> Reading:
    about = Subject("serving", VERSION)
    if state is None or not state.get("problem"):
        return Reading(
            endings={about: Ending("the version that the ledger names is served" if state else "it is not served")}
        )
    serving = state.get("model_version")
    finding = Finding(
        *about,
        "warning" if serving else "critical",
        "the prediction server cannot load the version that is in production",
        f"It answers with v{serving}, which it has loaded before." if serving else "It answers no request.",
        "`perennial doctor` says what it serves, and the server's log why.",
        page(name),
        {"problem": state["problem"], "model_version": serving},
    )
    return Reading((finding,))


def silent(before: Look, now: datetime, problem: str) -> tuple[Look, Reading]:
    """That no server answers: wrong only of one that has, and not while it is being started again.

    Args:
        before: The look before.
        now: Processing time, UTC.
        problem: What came of asking it.
    """
    about, unread = Subject("serving", SERVER), {"prediction server": problem}
    if not before.has_answered:
        return before, Reading(unread=unread)
    since = min(before.silent_since or now, now)  # Also if the clock was set back.
    look = replace(before, silent_since=since)
    if now - since < SILENCE:
        return look, Reading(undecided=frozenset({about}), unread=unread)
    finding = Finding(
        *about,
        "critical",
        f"no prediction server answers at {settings().serving_uri}",
        "Nobody gets a prediction on request, of any use case.",
        "Start it: `perennial up`, or `perennial serve` where it runs by itself. If there is to be none, set"
        " PERENNIAL_SERVING_URI=none.",
        page(INSTALLATION),
        {"since": since, "problem": problem},
    )
    return look, Reading((finding,), unread=unread)


def file() -> Path:
    """Where the look before is kept."""
    return settings().home / "alerts_serving.json"


def load() -> Look:
    """The look before; of a damaged file, or without one, nothing is known."""
    try:
        kept = json.loads(file().read_text(encoding="utf-8"))
        return Look(
            {name: Counts(**numbers) for name, numbers in kept["counts"].items()},
            {name: datetime.fromisoformat(moment) for name, moment in kept["at"].items()},
            datetime.fromisoformat(kept["silent_since"]) if kept["silent_since"] else None,
            bool(kept["has_answered"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Look()


def save(look: Look) -> None:
    """Keep a look for the next one."""
    kept = asdict(look) | {"at": {name: moment.isoformat() for name, moment in look.at.items()}}
    kept["silent_since"] = look.silent_since.isoformat() if look.silent_since else None
    file().parent.mkdir(parents=True, exist_ok=True)
    write_private(file(), json.dumps(kept))
