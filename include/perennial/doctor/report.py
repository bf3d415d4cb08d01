"""Shows an examination: as a table on a terminal, as plain lines elsewhere."""

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
    for heading in ("", "check", "", "finding, and how to fix it"):
        drawn.add_column(heading, no_wrap=heading != "finding, and how to fix it", overflow="fold")
    for subject, findings in examination.findings.items():
        for number, finding in enumerate(findings):
            message = Text(finding.message)
            if finding.fix:
                message.append(f"\n-> {finding.fix}", style="bold" if finding.state in ("failed", "warning") else "dim")
            style = _STYLES[finding.state]
            drawn.add_row("" if number else subject, Text(finding.name), Text(finding.state, style=style), message)
    return drawn


def lines(examination: Examination) -> Iterator[str]:
    """The same as plain text: a line for each finding, and one for how to fix it."""
    for subject, findings in examination.findings.items():
        for finding in findings:
            yield f"{finding.state:<14}  {subject}: {finding.name}: {finding.message}"
            if finding.fix:
                yield f"{'':<14}    -> {finding.fix}"


def summary(examination: Examination) -> str:
    """How many findings are in which state, in one line."""
    counts = [f"{examination.count(state)} {state}" for state in STATES if examination.count(state)]
    return f"{', '.join(counts)}, in {examination.seconds:.1f} s"
