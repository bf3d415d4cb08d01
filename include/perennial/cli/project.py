"""A team's own project: `init`, `upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.frame import AsJson, DryRun, app, example, say, show_json
from perennial.errors import ServiceUnavailable

if TYPE_CHECKING:
    from perennial.project.upgrading import Upgrade


@app.command(epilog=example("perennial init my-project"))
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an empty one.", metavar="FOLDER")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write a new project.

    DAG files, a Feast repository, tests, a Makefile and CI, for use cases that `perennial new` then writes in it. The
    package stays where it is installed; `perennial upgrade` brings the files up to date with it.
    """
    from perennial.project import starting

    name, files = starting.plan(folder)
    if not dry_run:
        starting.start(folder, name, files)
    if as_json:
        show_json({"project": name, "folder": folder.resolve(), "written": not dry_run, "files": sorted(files)})
        return
    say("Would be written (nothing was):" if dry_run else "Written:")
    for path in sorted(files):
        say(f"  {folder / path}")
    if not dry_run:
        say(f"\nNext:\n  cd {folder}\n  git init\n  perennial new NAME --data FILE")


@app.command(epilog=example("perennial upgrade --dry-run"))
def upgrade(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring the project to the installed version.

    Files that `perennial init` wrote are replaced if nobody changed them; of a changed one the difference is shown, and
    it is left as it is. Tables of the lake gain its columns. Lists what behaves differently since the version that
    wrote them.
    """
    from perennial.project import upgrading
    from perennial.settings import settings

    project = settings().project
    planned = upgrading.plan(project)
    if not dry_run:
        upgrading.apply(project, planned)
    columns, problem = _records(settings().home, write=not dry_run)
    if as_json:
        files = {each: sorted(getattr(planned, each)) for each in ("added", "replaced", "removed")}
        versions = {"before": planned.before, "after": planned.after, "written": not dry_run}
        others = {"behaviour_changes": planned.behaviour, "columns": columns, "lake": problem or None}
        show_json(versions | files | {"left": planned.left} | others)
        return
    _print(planned, columns, problem, written=not dry_run)


def _records(home: Path, *, write: bool) -> tuple[dict[str, list[str]], str]:
    """Columns that tables of the lake gain, and why it could not be looked at, if so."""
    if not home.exists():
        return {}, ""
    from perennial.project import lake_records

    try:
        return lake_records.add_columns() if write else lake_records.missing_columns(), ""
    except ServiceUnavailable as error:
        return {}, error.problem


def _print(planned: Upgrade, columns: dict[str, list[str]], problem: str, *, written: bool) -> None:
    steps = [f"{what} {path}" for what in ("added", "replaced", "removed") for path in sorted(getattr(planned, what))]
    steps += [f"added {', '.join(names)} to the lake's table {table}" for table, names in columns.items()]
    if planned.before != planned.after:
        say(f"From Perennial {planned.before} to {planned.after}.")
    for step in steps:
        say(f"  {step}" if written else f"  would be {step}")
    for path, difference in planned.left.items():
        say(f"\nLeft as you made it: {path}" + (f"; to change by hand:\n{difference}" if difference else ""))
    for version, changes in planned.behaviour.items():
        say(f"\nBehaviour changes of {version}:")
        for change in changes:
            say(f"  - {change}")
    if problem:
        say(f"\nThe lake was not looked at: {problem} Its tables gain new columns when they are next written to.")
    elif not steps and not planned.left and planned.before == planned.after:
        say(f"Nothing to do: the project is of Perennial {planned.after}, which is installed.")
