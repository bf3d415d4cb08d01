"""What an auditor is handed: `dossier`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli import completion
from perennial.cli.frame import AsJson, app, console, example, if_interrupted, note, say, show_json

if TYPE_CHECKING:
    from perennial.dossier.verifying import Verification


@app.command(epilog=example("perennial dossier flights 1 --to flights-v1.zip"))
def dossier(
    use_case: Annotated[
        str | None,
        typer.Argument(help="Name of a use case.", autocompletion=completion.use_cases, metavar="[USE_CASE]"),
    ] = None,
    version: Annotated[
        int | None,
        typer.Argument(
            min=1, help="A registered version, for instance 3.", autocompletion=completion.versions, metavar="[VERSION]"
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; by default USE_CASE-vVERSION.zip in this folder.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Only what was recorded until then (processing time, UTC, ISO 8601)."),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Check a dossier that was written; no server is needed.")
    ] = None,
    against_records: Annotated[
        bool, typer.Option("--against-records", help="With --verify: also compare with what the records say today.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write all that is recorded of a version into one file.

    For an auditor: the same records give the same bytes. With --verify it names each file that was changed since.
    """
    from perennial.errors import InvalidParams

    writes = use_case is not None or version is not None or to is not None or as_of is not None
    if verify is not None and not writes:
        _verify(verify, against_records, as_json)
    elif verify is not None:
        raise InvalidParams("--verify checks a file that was written.", "Leave out everything else but the file.")
    elif against_records:
        raise InvalidParams("--against-records applies to --verify.", "Add --verify FILE.")
    elif use_case is None or version is None:
        raise InvalidParams("USE_CASE and VERSION are needed.", "Write for instance `perennial dossier flights 1`.")
    else:
        _write(use_case, version, to or Path(f"{use_case}-v{version}.zip"), _moment(as_of), as_json)


def _moment(text: str | None) -> datetime | None:
    """A moment of processing time; without an offset it is UTC.

    Raises:
        InvalidParams: it is no moment, or has not come yet.
    """
    from perennial.errors import InvalidParams

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParams(f"--as-of {text!r} is no time.", "Write for instance 2024-02-01T12:00:00.") from error
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise InvalidParams(
            f"--as-of {text} has not come yet: what is known then, nobody knows.", "Leave out --as-of for all records."
        )
    return moment


def _write(use_case: str, version: int, path: Path, as_of: datetime | None, as_json: bool) -> None:
    from perennial import discovery
    from perennial.cli.waiting import watched

    declared = discovery.load(use_case)
    if_interrupted("No file was written; the same command starts again.")
    with watched(f"{use_case} v{version}") as step:
        step("reading the records")
        from perennial.dossier import contents, writing

        made = contents.gather(declared, version, as_of)
        is_new = writing.write(made.content, path)
    if as_json:
        show_json(
            {
                "use_case": use_case,
                "version": version,
                "file": str(path),
                "written": is_new,
                "digest": made.digest,
                "files": len(made.files),
                "as_of": made.as_of.isoformat() if made.as_of else None,
                "newest_record": made.newest_record.isoformat() if made.newest_record else None,
                "not_recorded": [each._asdict() for each in made.not_recorded],
            }
        )
        return
    say(f"{path}: {len(made.files)} files{'' if is_new else ', already there with the same bytes'}.")
    say(f"Digest of the whole: {made.digest}")
    for each in made.not_recorded:
        note(f"Not recorded: {each.what}: {each.why}.")


def _verify(path: Path, against_records: bool, as_json: bool) -> None:
    from perennial.dossier import verifying

    content = verifying.read(path)
    found = verifying.verify_content(content)
    if against_records and found.is_intact:
        found = verifying.against_records(content, found)
    if as_json:
        show_json(found.as_json())
    else:
        _show(path, found, against_records)
    if not found.is_intact:
        raise typer.Exit(1)


def _show(path: Path, found: Verification, against_records: bool) -> None:
    if found.is_intact:
        also = ", and as the records say" if against_records else ""
        say(f"{path}: {found.use_case} v{found.version}, {found.files} files, each as it was written{also}.")
        say(f"Digest of the whole: {found.digest}")
        return
    out = console()
    out.print(f"{path}: not as it was written.", style="red", markup=False, soft_wrap=True)
    for problem in found.problems:
        out.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
