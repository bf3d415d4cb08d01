"""Runs a prediction server: loads the champions, follows the ledger, and answers over HTTP until it is stopped."""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from perennial import discovery
from perennial.errors import InvalidSetting, PerennialError
from perennial.served_predictions.segments import log_folder
from perennial.served_predictions.writing import PredictionLog
from perennial.services import notifications
from perennial.serving import log_carrier, tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions
from perennial.serving.rate_limits import RateLimits
from perennial.serving.workers import supervise
from perennial.settings import settings
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: What is imported elsewhere only where it is needed, as every worker needs it: before the fork its memory is shared.
_OF_EVERY_WORKER = (
    "duckdb",
    "feast.repo_operations",
    "perennial.feature_store.offline",
    "perennial.feature_store.online.configured",
    "perennial.lake.reading",
    "psycopg",
    "psycopg2.extras",
    "pyiceberg.catalog.sql",
    "sqlalchemy.dialects.postgresql",
)
#: Requests under way at once, beyond which connections are refused.
_MAX_CONNECTIONS = 512
#: How long requests under way may take once the server is told to stop, in seconds.
_LAST_SECONDS = 10
#: How long one thread may keep the interpreter, in seconds. Whoever sends answers gives it up with each of them, and
#: would wait for Python's default of 5 ms each time while the other thread predicts in shadow.
SWITCH_INTERVAL = 0.0005
#: For how long to wait for the port, in seconds: workers of a server that was killed are just about to leave it.
_PATIENCE = 3.0


def run(use_cases: Sequence[UseCase] | None, workers: int = 1) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered.

    Args:
        use_cases: What to serve; None: at any time all that are not retired. One that has no champion yet is served
            from its first one on.
        workers: How many processes serve.

    Raises:
        InvalidSetting: the port is taken.
    """
    where = settings()
    listener = _listen(where.serving_host, where.serving_port)
    tokens.prepare()
    rates = RateLimits()  # Before the fork, so that workers share them.
    with tempfile.TemporaryDirectory(prefix="perennial-serving-") as folder:
        for name in _OF_EVERY_WORKER:
            importlib.import_module(name)
        gc.freeze()  # What is imported is never collected, and stays shared.
        serve = partial(_serve, listener, use_cases, rates, Path(folder))
        supervise(workers, serve, partial(_carry, listener), listener=listener, last_seconds=2 * _LAST_SECONDS)


def _carry(listener: socket.socket) -> None:
    """Be the carrier of the workers' log."""
    listener.close()  # A port is free again when its workers are gone.
    log_carrier.run(log_folder())


def _serve(listener: socket.socket, use_cases: Sequence[UseCase] | None, rates: RateLimits, counts: Path) -> None:
    """Be one of the workers, which share a folder for what they count."""
    where = settings()
    sys.setswitchinterval(SWITCH_INTERVAL)
    champions = Champions(use_cases or (), _Discovery() if use_cases is None else None)
    champions.try_refresh()
    gc.freeze()  # Nor what was loaded: a collection that looks through models would delay answers.
    threading.Thread(target=champions.watch, name="follow-ledger", daemon=True).start()
    listening = (notifications.LEDGER, champions.wake, champions.ended)
    threading.Thread(target=notifications.listen, args=listening, name="listen", daemon=True).start()
    records = PredictionLog(log_folder(), where.serving_log)
    # uvicorn sends itself the signal that ended it again; without this nothing below would be done.
    signal.signal(signal.SIGTERM, _stop)
    config = uvicorn.Config(
        application(champions, AccessControl(rates), records, counts),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # Callers are known by their tokens, wherever they come from.
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    names = ", ".join(champions.names) or "nothing yet"
    log.info("Serving %s on http://%s:%d", names, where.serving_host, where.serving_port)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        champions.end()
        listener.close()
        records.close()


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


class _Discovery:
    """Called, it returns the use cases that can be loaded and are not retired; it logs which cannot, once."""

    def __init__(self) -> None:
        self._broken: set[str] = set()

    def __call__(self) -> list[UseCase]:
        loaded, broken = discovery.load_all()
        serving = []
        for use_case in loaded:
            try:
                if discovery.retirement(use_case.name) is None:
                    serving.append(use_case)
            except PerennialError as error:
                broken[use_case.name] = error
        for name in broken.keys() - self._broken:
            log.warning("%s cannot be loaded and is not served: %s", name, broken[name].problem)
        self._broken = set(broken)
        return serving


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the port; before anything is loaded, which takes a while."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            listener.bind((host, port))
            return listener
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            listener.close()
            raise InvalidSetting(
                f"The prediction server cannot listen on {host}:{port}: {error.strerror}.",
                "Stop what listens there, or set PERENNIAL_SERVING_PORT to another port.",
            ) from error
