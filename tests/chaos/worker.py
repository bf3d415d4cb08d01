"""Runs each step in a forked child of a process that has imported everything, and kills it when told to.

    python worker.py SOCKET

As Airflow's executor does it: the process that forks never touches a store. Each connection to the socket is a lane of
its own: it reads one request a line and answers with one line; what children print goes to the log. Ends when its
standard input does.

    {"pipeline": "training", "step": "fit", "partition": "2024-01-03", "run": "...", "results": {},
     "env": {"PERENNIAL_HOME": "..."}, "watch": true, "kill_point": ["posix.replace", "before", 1], "seconds": 0.2}

At the `kill_point` the child dies, or, if the request says `"ends": [pid, signal]`, that process does. After `seconds`
the child is killed wherever it is. `"largest_file"` is how many bytes the child may write to a file.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import resource
import select
import signal
import socketserver
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import sqlalchemy.orm

if TYPE_CHECKING:
    from kill_points import Watch

Request = dict[str, Any]
Answer = dict[str, Any]


def main() -> None:
    from perennial._common.heavy_imports import preload

    preload()
    import kill_points  # noqa: F401
    import state  # noqa: F401
    import steps  # noqa: F401

    import perennial.feature_store.applying
    import perennial.feature_store.historical_features
    import perennial.feature_store.materialization
    import perennial.feature_store.online.sqlite
    import perennial.feature_store.parity.checks
    import perennial.gate
    import perennial.ingestion.ingest
    import perennial.monitoring.monitor
    import perennial.quarantine.review
    import perennial.scoring
    import perennial.training.fit  # noqa: F401

    # The scheduler, which forks the tasks, has done so long before: with Airflow's models it takes a second.
    sqlalchemy.orm.configure_mappers()
    # A child that is killed before it can say where it is must not die of being asked.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    server = _Server(sys.argv[1], _Lane)
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            server.server_close()  # Waits for the lanes.
            return
        server.handle_request()


class _Lane(socketserver.StreamRequestHandler):
    """In a process of its own: one attempt after the other, until nobody asks any more."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(json.dumps(attempt(json.loads(line))).encode() + b"\n")


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    pass


def attempt(request: Request) -> Answer:
    """Run a step once: done, failed or killed."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as stack:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(request, writing, stack)
        os.close(writing)
        due = request.get("seconds")
        finished, _, _ = select.select([reading], [], [], due)
        if not finished:
            _kill(child, stack)
        with os.fdopen(reading) as pipe:
            output = pipe.read()
        _, status, used = os.wait4(child, 0)
        spent = {"seconds": time.monotonic() - began, "cpu": used.ru_utime + used.ru_stime}
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            stack.seek(0)
            return {"outcome": "killed", "place": stack.read()} | spent
        if not output:
            return {"outcome": "failed", "error": "Died", "text": f"wait status {status}"} | spent
        return json.loads(output) | spent


def _kill(child: int, stack: IO[str]) -> None:
    """SIGKILL, after asking the child where it is: its stack is written by a signal handler in C."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGUSR1)
        for _ in range(20):
            if os.fstat(stack.fileno()).st_size:
                break
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)


def _child(request: Request, pipe: int, stack: IO[str]) -> None:
    from kill_points import KillPoint, Watch, die

    faulthandler.register(signal.SIGUSR1, file=stack, all_threads=False)
    os.environ.update(request.get("env", {}))
    chosen = KillPoint(*request["kill_point"]) if request.get("kill_point") else None
    watch = Watch(chosen, functools.partial(_end, *request["ends"]) if request.get("ends") else die)
    try:
        reply = {"outcome": "done", "result": _run(request, watch)}
    except BaseException as error:
        from perennial.errors import PerennialError

        reply = {
            "outcome": "failed",
            "error": type(error).__name__,
            "teaches": isinstance(error, PerennialError) and bool(error.fix),
            "text": str(error),
            "traceback": traceback.format_exc(),
        }
    with os.fdopen(pipe, "w") as out:
        out.write(json.dumps(reply | {"moments": watch.met}))
    sys.stderr.flush()
    os._exit(0)


def _end(pid: int, how: int) -> None:
    """End another process, and go on when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
        while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)


def _run(request: Request, watch: Watch) -> Any:
    from steps import PIPELINES

    from perennial import discovery

    use_case = discovery.load(request.get("use_case", "energy"))
    step, partition = PIPELINES[request["pipeline"]][request["step"]], use_case.partition(request["partition"])
    if request.get("largest_file"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    if request.get("kill_point") or request.get("watch"):
        watch.start()
    try:
        return step(use_case, partition, request["run"], request.get("results", {}))
    finally:
        watch.stop()


if __name__ == "__main__":
    main()
