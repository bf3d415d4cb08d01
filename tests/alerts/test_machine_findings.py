"""When a disk is nearly full."""

from __future__ import annotations

import pytest

from perennial.alerts import machine_findings
from perennial.alerts.incidents import Subject

HOME = Subject("disk", "home")
GB = 1e9


@pytest.mark.parametrize(
    ("free", "total", "severity"),
    [
        (50 * GB, 1000 * GB, None),
        (19 * GB, 1000 * GB, "warning"),
        (1.9 * GB, 1000 * GB, "critical"),
        (4 * GB, 30 * GB, None),
        (2.9 * GB, 30 * GB, "warning"),
        (0.8 * GB, 30 * GB, "critical"),
    ],
)
def test_a_disk_is_full_by_its_share_and_by_its_bytes(free: float, total: float, severity: str | None) -> None:
    told = machine_findings.judge(HOME, free, total, is_open=False)
    assert [each.severity for each in told.findings] == ([severity] if severity else [])
    assert (HOME in told.endings) is (severity is None)


def test_a_disk_around_the_limit_is_told_once() -> None:
    assert machine_findings.judge(HOME, 21 * GB, 1000 * GB, is_open=True).findings
    assert not machine_findings.judge(HOME, 26 * GB, 1000 * GB, is_open=True).findings


def test_this_machines_disks_are_read() -> None:
    told = machine_findings.read([])
    assert told.read == {"disk"}
    assert len(told.findings) + len(told.endings) >= 1
