"""Checks of the prediction server: whether it answers, and with the versions that the ledger names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded import processes
from perennial.embedded.status import embeds_serving, is_running
from perennial.errors import PerennialError
from perennial.settings import reached_at, settings

_NAME = "Prediction server"
_PATIENCE = 4.0


def server() -> Iterator[Finding]:
    """The prediction server, and what it serves of each use case."""
    import httpx

    where = settings()
    if where.serving_uri == "none":
        yield not_applicable(_NAME, "there is none: PERENNIAL_SERVING_URI is none")
        return
    embedded = embeds_serving(where)
    if embedded and not is_running("serving"):
        others = is_running("api-server")
        yield (
            failed(_NAME, "does not run, but Airflow does", "`perennial up` starts it; its log says why it ended.")
            if others
            else not_applicable(_NAME, "is not running", "Start it with `perennial up`.")
        )
        return
    fix = f"Read {processes.log_file('serving')}, then `perennial up`." if embedded else "Check PERENNIAL_SERVING_URI."
    try:
        answer = httpx.get(f"{where.serving_uri}/ready", timeout=_PATIENCE)
        use_cases = answer.json()["use_cases"]
    except httpx.HTTPError as error:
        if embedded or where.serving_uri != f"http://{reached_at(where.serving_host)}:{where.serving_port}":
            yield failed(_NAME, f"{where.serving_uri} does not answer: {type(error).__name__}: {error}", fix)
        else:
            yield not_applicable(_NAME, "none is set (PERENNIAL_SERVING_URI), and none runs here")
        return
    except (ValueError, KeyError, TypeError):
        yield failed(_NAME, f"what answers at {where.serving_uri} is no prediction server", fix)
        return
    yield passed(_NAME, f"answers at {where.serving_uri}")
    yield from (_served(name, state, fix) for name, state in sorted(use_cases.items()))


def _served(name: str, state: dict[str, Any], fix: str) -> Finding:
    """Whether the version that serves is the one that the ledger names to this process."""
    from perennial import discovery
    from perennial.registry import ledger

    subject, serving = f"Served {name}", state["model_version"]
    try:
        entry = ledger.champion(discovery.load(name))
    except PerennialError as error:
        return warning(subject, f"v{serving} serves; the ledger cannot be read: {error.problem}", error.fix)
    if entry is None:
        return passed(subject, "nothing yet: no version is in production")
    if serving == entry.model_version:
        return passed(subject, f"v{serving}, as the ledger says")
    reason = f" ({state['problem']})" if state["problem"] else ""
    message = f"{f'v{serving}' if serving else 'nothing'} serves, but the ledger names v{entry.model_version}{reason}"
    return failed(subject, message, fix)
