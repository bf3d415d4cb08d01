"""An examination as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.doctor.finding import STATES, Examination

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"passed": "green", "warning": "yellow", "failed": "bold red", "not applicable": "dim"}


def table(examination: Examination) -> Table:
    """A row for each finding, under its subject."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("", "check", "", "found, and how to mend it"):
        drawn.add_column(heading, no_wrap=heading != "found, and how to mend it", overflow="fold")
    for subject, findings in examination.findings.items():
        for number, finding in enumerate(findings):
            said = Text(finding.said)
            if finding.mend:
                said.append(f"\n-> {finding.mend}", style="bold" if finding.state in ("failed", "warning") else "dim")
            style = _STYLES[finding.state]
            drawn.add_row("" if number else subject, Text(finding.name), Text(finding.state, style=style), said)
    return drawn


def lines(examination: Examination) -> Iterator[str]:
    """The same off a terminal: a line for each finding, and one for how to mend it."""
    for subject, findings in examination.findings.items():
        for finding in findings:
            yield f"{finding.state:<14}  {subject}: {finding.name}: {finding.said}"
            if finding.mend:
                yield f"{'':<14}    -> {finding.mend}"


def summary(examination: Examination) -> str:
    """How many of which, in one line."""
    counts = [f"{examination.count(state)} {state}" for state in STATES if examination.count(state)]
    return f"{', '.join(counts)}, in {examination.seconds:.1f} s"
