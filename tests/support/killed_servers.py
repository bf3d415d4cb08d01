"""A replay on real servers that are killed while it runs, and what the stores hold in the end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from machines import energy_checkout

#: All that `perennial up` starts.
SERVERS = ("scheduler", "api-server", "dag-processor", "triggerer", "mlflow", "serving", "postgresql")
_PATIENCE = 600.0
#: Prints what the lake and the registry hold, without ids and times.
_CONTENTS = """
import json
from perennial import discovery, lake
from perennial.registry import tracking
use_case = discovery.load("energy")
IDS = {"lake_snapshots", "model_run", "report", "evidence", "made_by"}
TIMES = {"recorded_at", "predicted_at", "paused_since", "pause_until"}
found = {}
for name in sorted(".".join(name) for name in lake.catalog().list_tables(use_case.name)):
    rows = lake.catalog().load_table(name).scan().to_arrow().to_pylist()
    plain = [{k: v for k, v in row.items() if k not in IDS | TIMES and "seconds" not in k} for row in rows]
    if name == use_case.tables.run_costs:  # How much CPU time runs took differs from time to time.
        continue
    found[name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in plain)
client = tracking.client()
versions = client.search_model_versions("name='energy'")
found["versions"] = sorted(int(version.version) for version in versions)
found["aliases"] = {name: int(version) for name, version in client.get_registered_model("energy").aliases.items()}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Servers:
    """A checkout with the use case `energy`, and the servers that run it."""

    folder: Path
    environment: dict[str, str]

    def perennial(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "perennial.cli", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=_PATIENCE)

    def up(self, at_once: int = 1) -> str:
        """`perennial up`, so many times at the same time; what the first one printed."""
        command = [sys.executable, "-m", "perennial.cli", "up"]
        started = [
            subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(at_once)
        ]
        printed = [each.communicate(timeout=_PATIENCE)[0] for each in started]
        assert [each.returncode for each in started] == [0] * at_once, "\n".join(printed)
        return printed[0]

    @property
    def password(self) -> str:
        return str(json.loads((self.folder / "home/login.json").read_text())["password"])

    def pid(self, name: str) -> int:
        home = self.folder / "home"
        if name == "postgresql":
            return int((home / "postgres/postmaster.pid").read_text().splitlines()[0])
        return int(json.loads((home / "run" / f"{name}.json").read_text())["pid"])

    def kill(self, *names: str) -> None:
        """Kill servers as a machine that is out of memory does."""
        processes = [psutil.Process(self.pid(name)) for name in names]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=30)

    def contents(self) -> dict[str, Any]:
        """Rows of the lake, model versions and aliases; ids and times left out."""
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os\n"
                "from perennial.embedded.environment import environment\nos.environ.update(environment())\n"
                + _CONTENTS,
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])


@contextmanager
def servers() -> Iterator[Servers]:
    """`perennial up` in a checkout of its own, `perennial down` at the end."""
    folder, environment = energy_checkout("perennial-killed-")
    running = Servers(folder, environment)
    try:
        running.up()
        yield running
    finally:
        running.perennial("down")
        shutil.rmtree(folder, ignore_errors=True)


class Replay:
    """A `perennial replay` in the background, whose lines can be waited for; ended with the block."""

    def __init__(self, on: Servers, first: str, last: str) -> None:
        command = [sys.executable, "-m", "perennial.cli", "replay", "energy", "--from", first, "--to", last]
        self.process = subprocess.Popen(
            command,
            env=on.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # As a shell starts it: pytest may have been started with Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        assert self.process.stdout is not None
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def printed(self) -> str:
        return "".join(self._lines)

    def wait_for(self, *parts: str) -> None:
        """Until it prints a line with these parts."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._has(parts), timeout=_PATIENCE)
        assert self._has(parts), f"no line with {parts} in:\n{self.printed}"

    def end(self) -> int:
        """Its exit code, once it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._over, timeout=_PATIENCE)
        return self.process.wait(60)

    def _has(self, parts: Sequence[str]) -> bool:
        return any(all(part in line for part in parts) for line in self._lines)

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()
