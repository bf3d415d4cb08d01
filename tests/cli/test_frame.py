"""What people expect of any command: help, colours, plain output in a pipe, JSON, exit codes, "did you mean"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typed import COLOUR, Terminal, run

from perennial.cli import app
from perennial.cli.frame import EXIT_CODES


def commands(group=None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], typer.main.TyperCommand]]:
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("group", [(), ("quarantine",)], ids=str)
def test_no_line_of_the_list_of_commands_is_cut(group: tuple[str, ...]) -> None:
    shown = run(*group, "--help", COLUMNS="80").stdout
    listed = shown.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_help_tells_the_exit_codes() -> None:
    shown = run("--help").stdout
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code} +{re.escape(meaning.split(';')[0])}", shown, re.MULTILINE)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_of_itself(path: tuple[str, ...]) -> None:
    assert str(COMMANDS[path].epilog).startswith(f"Example: perennial {' '.join(path)}")


#: The output is that of the program that is run, and a log.
REPORTS_NOTHING = {("run",), ("serve",)}


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - REPORTS_NOTHING), ids=" ".join)
def test_every_command_that_reports_does_so_as_json_too(path: tuple[str, ...]) -> None:
    assert "--json" in {option for param in COMMANDS[path].params for option in param.opts}


@pytest.mark.parametrize(
    "path",
    [
        *(
            ("up",),
            ("down",),
            ("replay",),
            ("trigger",),
            ("rollback",),
            ("resume",),
            ("card",),
            ("apply",),
            ("new",),
            ("init",),
            ("upgrade",),
        ),
        *(("quarantine", "release"), ("quarantine", "discard")),
    ],
    ids=" ".join,
)
def test_every_changing_command_has_a_dry_run(path: tuple[str, ...]) -> None:
    assert "--dry-run" in {option for param in COMMANDS[path].params for option in param.opts}


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"perennial \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("statsu",), "Did you mean 'status'?"),
        (("quarantine", "lst"), "Did you mean 'list'?"),
        (("status", "--jsno"), "--json"),
        (("status", "flihgts"), "Did you mean 'flights'?"),
        (("trigger", "flights", "monitorin"), "Did you mean 'monitoring'?"),
        (("trigger", "flights", "features", "--partition", "2013-3"), "Did you mean '2013-03'?"),
        (("trigger", "flights", "features", "--partition", "2013-03-15"), "Did you mean '2013-03'?"),
        (("trigger", "flights", "training", "--param", "max_itre=7"), "Did you mean 'max_iter'?"),
        (("trigger", "flights", "training", "--param", "max_iter=many"), "max_iter: Input should be a valid integer"),
        (("trigger", "flights", "champion"), "reason: Field required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistyped_name_gets_a_suggestion(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments, PERENNIAL_HOME=str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("PERENNIAL_MLFLOW_PORT", "many", "valid integer"),
        ("PERENNIAL_CATALOG", "{", "not JSON"),
        ("PERENNIAL_TRUSTED_MODEL_TYPES", "all", "'declared' or 'any'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting: str, value: str, message: str) -> None:
    done = run("status", **{setting: value})
    assert done.returncode == 2
    assert setting in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "from perennial import UseCase\nuse_case = UseCase(name='broken')\n",
            r"line 2: UseCase: .*owner: Field required",
        ),
        ("from perennial import UseCase\n\nuse_case = UseCsae()\n", r"line 3: NameError: name 'UseCsae'"),
        ("use_case = (\n", r"line 1: SyntaxError: '\(' was never closed"),
        ("import nosuchlibrary\n", r"line 1: ModuleNotFoundError: No module named 'nosuchlibrary'"),
        ("x = 1\n", r"does not define `use_case = UseCase\(name='broken'"),
    ],
)
def test_a_broken_use_case_is_named_by_file_line_and_field(tmp_path: Path, content: str, message: str) -> None:
    folder = tmp_path / "use_cases" / "broken"
    folder.mkdir(parents=True)
    (folder / "use_case.py").write_text(content)
    done = run("status", "broken", PYTHONPATH=str(tmp_path), PERENNIAL_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert re.search(rf"include/use_cases/broken/use_case\.py.*{message}", done.stderr, re.DOTALL), done.stderr
    assert "Fix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_in_a_pipe_there_are_no_escape_codes(home: Path) -> None:
    for arguments in (("--help",), ("status", "flights"), ("history", "flights"), ("statsu",)):
        done = run(*arguments, PERENNIAL_HOME=str(home))
        assert "\x1b" not in done.stdout + done.stderr, arguments


def test_on_a_terminal_an_error_is_red(tmp_path: Path) -> None:
    shell = Terminal.start("status", "nope", PERENNIAL_HOME=str(tmp_path))
    assert shell.end() == 2
    assert COLOUR.search(shell.shown)


def test_no_color_is_honoured_on_a_terminal(tmp_path: Path) -> None:
    shell = Terminal.start("status", "nope", PERENNIAL_HOME=str(tmp_path), NO_COLOR="1")
    assert shell.end() == 2
    assert "no use case 'nope'" in shell.shown
    assert not COLOUR.search(shell.shown)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "flights"),
        ("login",),
        ("history", "flights"),
        ("quarantine", "list", "flights"),
        ("down",),
        ("down", "--dry-run"),
    ],
    ids=" ".join,
)
def test_json_is_all_that_standard_output_holds(home: Path, arguments: tuple[str, ...]) -> None:
    if arguments[0] == "down":  # Not the home that other tests of this file need.
        done = run(*arguments, "--json", PERENNIAL_HOME=str(home / "other"))
    else:
        done = run(*arguments, "--json", PERENNIAL_HOME=str(home))
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_a_reader_that_has_seen_enough_is_no_error(home: Path) -> None:
    import os
    import subprocess
    import sys

    pipe = f"{sys.executable} -m perennial.cli quarantine --help | head -1"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.returncode == 0
    assert not done.stderr
