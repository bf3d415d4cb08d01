"""Runs each step in a forked child of a process that has imported everything, and kills it when told to.

As Airflow's executor does it: the process that forks never touches a store. It reads one request a line from its
standard input and answers with one line; the children write to stderr only.

    {"step": "fit", "partition": "2024-01-03", "run": "...", "results": {}, "env": {"PERENNIAL_HOME": "..."},
     "watch": true, "seam": ["posix.replace", "before", 1], "seconds": 0.2}

At the `seam` the child dies, or, if the request says `"ends": [pid, signal]`, that process does. After `seconds` the
child is killed wherever it is. `"largest_file"` is how many bytes the child may write to a file.
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
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import IO, Any

import sqlalchemy.orm

Request = dict[str, Any]
Answer = dict[str, Any]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a library prints must not be taken for an answer.
    from perennial.imports import preload

    preload()
    import perennial.feature_store.online.sqlite
    import perennial.feature_store.repository
    import perennial.gate
    import perennial.ingestion
    import perennial.monitoring
    import perennial.parity
    import perennial.scoring
    import perennial.training  # noqa: F401

    # The scheduler, which forks the tasks, has done so long before: with Airflow's models it takes a second.
    sqlalchemy.orm.configure_mappers()
    # A child that is killed before it can say where it is must not die of being asked.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    print(json.dumps({"outcome": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line))), file=answers, flush=True)


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
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - began
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            stack.seek(0)
            return {"outcome": "killed", "seconds": seconds, "place": stack.read()}
        if not said:
            return {"outcome": "failed", "seconds": seconds, "error": "Died", "text": f"wait status {status}"}
        return json.loads(said) | {"seconds": seconds}


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
    faulthandler.register(signal.SIGUSR1, file=stack, all_threads=False)
    os.environ.update(request.get("env", {}))
    try:
        answer = _run(request)
    except BaseException as error:
        from perennial.errors import PerennialError

        answer = {
            "outcome": "failed",
            "error": type(error).__name__,
            "teaches": isinstance(error, PerennialError) and bool(error.fix),
            "text": str(error),
            "traceback": traceback.format_exc(),
        }
    with os.fdopen(pipe, "w") as out:
        out.write(json.dumps(answer))
    sys.stderr.flush()
    os._exit(0)


def _end(pid: int, how: int) -> None:
    """End another process, and go on when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
        while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)


def _run(request: Request) -> Answer:
    from seams import Seam, Watch, die
    from steps import STEPS

    from perennial import discovery

    use_case = discovery.load(request.get("use_case", "energy"))
    step, partition = STEPS[request["step"]], use_case.partition(request["partition"])
    chosen = Seam(*request["seam"]) if request.get("seam") else None
    watch = Watch(chosen, functools.partial(_end, *request["ends"]) if request.get("ends") else die)
    if request.get("largest_file"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    if chosen or request.get("watch"):
        watch.start()
    try:
        result = step(use_case, partition, request["run"], request.get("results", {}))
    finally:
        watch.stop()
    return {"outcome": "done", "result": result, "seams": watch.met}


if __name__ == "__main__":
    main()
