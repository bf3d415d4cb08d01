"""Looking whether everything is there: `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from perennial.cli.frame import FAILED, AsJson, app, console, example, if_interrupted, say, show_json

if TYPE_CHECKING:
    from perennial.doctor import Finding


@app.command(epilog=example("perennial doctor"))
def doctor(as_json: AsJson = False) -> None:
    """Check the installation and all it needs.

    Python and packages, settings, ports, servers, permissions, disk, memory, use cases and their files; and how to fix
    what is not right. Nothing is changed, and nothing needs to run. It fails if a check failed; warnings do not count.
    """
    from perennial.doctor import Check, examine, report
    from perennial.doctor.examination import CHECKS

    if_interrupted("Nothing was changed, and nothing continues.")
    out = console(stderr=True)
    with out.status("Looking at everything, side by side ..."):
        result = examine((*CHECKS, Check("Use cases", "Sources", _sources)))
    if as_json:
        show_json(result.as_json())
    elif (shown := console()).is_terminal:
        shown.print(report.table(result))
        shown.print(report.summary(result), highlight=False)
    else:
        for line in (*report.lines(result), report.summary(result)):
            say(line)
    if not result.healthy:
        raise typer.Exit(FAILED)


def _sources() -> Iterator[Finding]:
    """Of a layer above the doctor's own checks; imported in the check's thread."""
    from perennial.sources import examination

    return examination.sources()
