"""What the tests of the doctor share."""

from __future__ import annotations

import sys
from collections.abc import Callable

from perennial.doctor import Examination, Finding

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
#: The checks that start a process that imports Feast or Airflow.
SLOW = ("Feast definitions", "DAGs")
Examine = Callable[..., dict[str, Finding]]


def by_name(examination: Examination) -> dict[str, Finding]:
    return {finding.name: finding for findings in examination.findings.values() for finding in findings}
