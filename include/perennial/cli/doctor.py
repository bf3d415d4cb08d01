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

    if_interrupted("Nothing was changed, and nothing goes on.")
    out = console(stderr=True)
    with out.status("Looking at everything, side by side ..."):
        found = examine()
    if as_json:
        show_json(found.as_json())
    elif (shown := console()).is_terminal:
        shown.print(report.table(found))
        shown.print(report.summary(found), highlight=False)
    else:
        for line in (*report.lines(found), report.summary(found)):
            say(line)
    if not found.healthy:
        raise typer.Exit(FAILED)
