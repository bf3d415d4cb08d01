"""What the tests of the doctor share."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

from perennial.doctor import Examination, Finding

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
#: The checks that start a process that imports Feast or Airflow.
SLOW = ("Feast definitions", "DAGs")
Examine = Callable[..., dict[str, Finding]]


def by_name(examination: Examination) -> dict[str, Finding]:
    return {finding.name: finding for found in examination.findings.values() for finding in found}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
