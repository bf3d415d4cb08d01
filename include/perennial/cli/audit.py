"""Who did what: `audit`, and the record of what is done on the command line."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.durations import duration
from perennial.cli.frame import (
    DONE,
    INVALID,
    REFUSED,
    AsJson,
    UseCaseOrAll,
    app,
    console,
    example,
    note,
    say,
    show_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.registry.audit_log import Act

#: The commands that change something, by their first words. What they ask of Airflow is recorded by its login, too.
ACTS = frozenset(
    {
        *(("apply",), ("deploy",), ("replay",), ("trigger",), ("rollback",), ("resume",), ("retire",)),
        *(("quarantine", "release"), ("quarantine", "discard"), ("incidents", "acknowledge")),
        *(("token", "create"), ("token", "revoke")),
    }
)
#: What a command says of itself beside its arguments.
_said: list[str] = []
_NOTHING_DONE = {"--dry-run", "--help", "-h"}


@app.command(epilog=example("perennial audit flights --since 7d"))
def audit(
    use_case: UseCaseOrAll = None,
    since: Annotated[
        str, typer.Option("--since", metavar="AGE", help="Only what is not older than this: 36h, 7d.")
    ] = "30d",
    as_json: AsJson = False,
) -> None:
    """Show who did what, from where, why, and what came of it.

    What people did on pages, by REST and on the command line, the newest last; without a
    use case also what is about none. What tasks did is in their runs; why a version serves is in `perennial history`.
    """
    from perennial import discovery
    from perennial.registry import audit_log

    if use_case:
        discovery.load(use_case)
    found = audit_log.acts(use_case, datetime.now(UTC) - duration(since, "--since"))
    if as_json:
        show_json([vars(act) for act in found])
    elif not found:
        say("Nobody did anything that is recorded.")
    else:
        console().print(_table(found))


def _table(acts: Sequence[Act]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("when (UTC)", "who", "from", "what", "outcome", "why"):
        drawn.add_column(heading, overflow="fold", no_wrap=heading == "when (UTC)")
    for act in acts:
        origin = f"{act.channel} {act.address}"
        cells = (act.actor or "nobody", origin, act.act, f"{act.outcome} ({act.status})", act.reason)
        drawn.add_row(f"{act.recorded_at:%Y-%m-%d %H:%M:%S}", *map(Text, cells))
    return drawn


def add(text: str) -> None:
    """Let the record of this command say something that its arguments do not.

    Args:
        text: A few words.
    """
    _said.append(text)


def record(arguments: Sequence[str], code: int) -> None:
    """Record a command that may have changed something; nothing for the others.

    Args:
        arguments: Of the command line, without the program's name.
        code: The exit code.
    """
    words = [word for word in arguments if not word.startswith("-")]
    is_act = tuple(words[:1]) in ACTS or tuple(words[:2]) in ACTS
    if not is_act or _NOTHING_DONE & set(arguments) or code == INVALID:
        return
    from perennial import discovery
    from perennial.registry import audit_log

    names = set(discovery.names())
    problem = audit_log.record(
        audit_log.Act(
            actor=getpass.getuser(),
            channel="cli",
            address=platform.node(),
            act=" ".join(["perennial", *arguments, *(f"({each})" for each in _said)]),
            use_case=next((word for word in words if word in names), ""),
            reason=_reason(arguments),
            outcome="done" if code == DONE else "refused" if code == REFUSED else "failed",
            status=code,
        )
    )
    if problem:
        note(f"Not in the audit log: {problem}")


def _reason(arguments: Sequence[str]) -> str:
    for before, word in zip(arguments, [*arguments[1:], ""], strict=True):
        if before in ("--reason", "--param") and (before == "--reason" or word.startswith("reason=")):
            return word.removeprefix("reason=")
        if before.startswith("--reason="):
            return before.removeprefix("--reason=")
    return ""
