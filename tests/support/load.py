"""Steady load by Debian's `wrk`, and what was answered when."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Writes a line for each answer: when it came (seconds since the epoch), its status and the version that predicted.
_SCRIPT = """
local ffi = require("ffi")
ffi.cdef[[ typedef struct { long sec; long nsec; } moment_t; int clock_gettime(int clock, moment_t* moment); ]]
local moment = ffi.new("moment_t")
local answers, pause

function init(arguments)
  answers, pause = io.open(arguments[1], "a"), tonumber(arguments[2])
  local file = io.open(arguments[3])
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = arguments[4]
  file:close()
end

function delay() return pause end

function response(status, headers, body)
  ffi.C.clock_gettime(0, moment)
  local seconds = tonumber(moment.sec) + tonumber(moment.nsec) / 1e9
  answers:write(string.format("%.6f %d %s\\n", seconds, status, body:match('"model_version":(%d+)') or "0"))
  answers:flush()
end
"""
_CONNECTIONS = 20


@dataclass(frozen=True)
class Answer:
    """One answer: when it came, its status, and the version that predicted (0: none)."""

    at: float
    status: int
    version: int


@dataclass
class Load:
    """Requests under way, and the answers so far.

    Attributes:
        errors: wrk's line about connections that broke, once it has ended; empty: none did.
    """

    file: Path
    process: subprocess.Popen[str]
    errors: str = field(default="", init=False)

    def answers(self) -> list[Answer]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        rows = [line.split() for line in lines if line.count(" ") == 2]
        return [Answer(float(at), int(status), int(version)) for at, status, version in rows]

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers() if answer.at >= moment]

    def wait(self) -> list[Answer]:
        """All answers, once it is over."""
        printed, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, printed
        self.errors = "".join(re.findall(r"Socket errors:.*", printed))
        return self.answers()


@contextmanager
def load(url: str, body: Any, token: str, folder: Path, seconds: int, rate: int | None = 200) -> Iterator[Load]:
    """Send a request again and again.

    Args:
        url: Where to, by POST.
        body: Sent as JSON.
        token: Shown to the server.
        folder: For its files.
        seconds: For how long.
        rate: Requests a second at most; None: as many as are answered.
    """
    program = shutil.which("wrk")
    assert program, "wrk is missing: apt-get install wrk"
    script, content, answers = folder / "load.lua", folder / "body.json", folder / f"answers-{time.time_ns()}"
    script.write_text(_SCRIPT)
    content.write_text(json.dumps(body))
    pause = 0 if rate is None else int(1000 * _CONNECTIONS / rate)
    command = [program, "-t", "1", "-c", str(_CONNECTIONS), "-d", f"{seconds}s", "--timeout", "20s", "-s", str(script)]
    arguments = [url, "--", str(answers), str(pause), str(content), f"Bearer {token}"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Load(answers, process)
    finally:
        process.kill()
        process.wait()
