"""Looking whether everything is there: `doctor`."""

from __future__ import annotations

import typer

from perennial.cli.frame import FAILED, AsJson, app, console, example, if_interrupted, say, show_json


@app.command(epilog=example("perennial doctor"))
def doctor(as_json: AsJson = False) -> None:
    """Check the installation and all it needs.

    Python and packages, settings, ports, servers, permissions, disk, memory, use cases; and how to fix what is not
    right. Nothing is changed, and nothing needs to run. It fails if a check failed; warnings do not count.
    """
    from perennial.doctor import examine, report

    if_interrupted("Nothing was changed, and nothing continues.")
    out = console(stderr=True)
    with out.status("Looking at everything, side by side ..."):
        examination = examine()
    if as_json:
        show_json(examination.as_json())
    elif (shown := console()).is_terminal:
        shown.print(report.table(examination))
        shown.print(report.summary(examination), highlight=False)
    else:
        for line in (*report.lines(examination), report.summary(examination)):
            say(line)
    if not examination.healthy:
        raise typer.Exit(FAILED)
