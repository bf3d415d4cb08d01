"""The Feast store of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPENING = """
from perennial.feature_store import store
print(store.open_store().registry is not None)
"""


def test_processes_that_open_the_first_store_at_once_all_have_it(home: Path) -> None:
    opening = [subprocess.Popen([sys.executable, "-c", OPENING], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [each.communicate(timeout=120)[0].split()[-1:] for each in opening] == [["True"]] * 4
