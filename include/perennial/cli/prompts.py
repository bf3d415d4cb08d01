"""Questions on the terminal, each of which Ctrl-C ends at once."""

from __future__ import annotations

import os
import select
import signal
import sys

import typer


def ask(question: str) -> str:
    """Ask a question, again and again until something is typed, and return the answer.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the end of the input.
    """
    while not (answer := _typed(f"{question}: ")):
        pass
    return answer


def confirm(question: str) -> bool:
    """Ask for confirmation; nothing typed is no.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the end of the input.
    """
    while (answer := _typed(f"{question} [y/N]: ").strip().lower()) not in ("y", "yes", "n", "no", ""):
        typer.echo("Type y or n.", err=True)
    return answer in ("y", "yes")


def _typed(prompt: str) -> str:
    typer.echo(prompt, nl=False, err=True)
    if sys.stdin.isatty():
        _wait_for_a_line()
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.rstrip("\r\n")


def _wait_for_a_line() -> None:
    """Wait until a line was typed.

    Not by reading: a Ctrl-C right before the call of the system that reads would be seen only after the next key. The
    signal writes to a pipe that is waited for too, so it is seen whenever it comes.
    """
    signalled, signal_writes = os.pipe()
    os.set_blocking(signal_writes, False)
    before = signal.set_wakeup_fd(signal_writes, warn_on_full_buffer=False)
    try:
        while sys.stdin not in select.select([sys.stdin, signalled], [], [])[0]:
            os.read(signalled, 512)  # Of a signal that ends nothing, such as of a resized window.
    finally:
        signal.set_wakeup_fd(before)
        os.close(signalled)
        os.close(signal_writes)
