"""Every command in the documentation is one that exists, asked in a way that it understands.

What can be run cheaply is run beside this, in `test_commands_run.py`, which also tests that nothing is left out.
"""

from __future__ import annotations

import ast
import importlib
import re
from typing import Any

import pytest
from command_checks import CHECKS
from fenced import PAGES, SHELLS, SHOWN, Block, Command, blocks, commands


def test_every_block_says_what_it_is() -> None:
    for block in blocks():
        assert block.language in (*SHELLS, *SHOWN), f"{block.name} is of the language {block.language!r}"


def test_a_block_with_output_contains_no_command() -> None:
    for block in blocks():
        for line in block.code.splitlines() if block.language not in SHELLS else ():
            is_usage = re.search(r"\[OPTIONS\]", line)
            assert is_usage or not re.match(r"(\$ |perennial |make [a-z]|docker |curl )", line), f"{block.name}: {line}"


def test_every_page_with_a_fence_was_read_to_its_end() -> None:
    for page in PAGES:
        fences = re.findall(r"^```", page.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len([block for block in blocks() if block.page == page]), page


def test_every_block_that_is_to_be_executed_has_commands() -> None:
    with_commands = {command.block for command in commands()}
    # What only sets a variable is a block without a command.
    for block in blocks():
        assert block.language not in SHELLS or block in with_commands, block.name


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "python"], ids=lambda b: b.name)
def test_python_that_is_shown_compiles_and_imports_what_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(_is_there(module, name.name) for name in node.names), ast.unparse(node)


def _is_there(module: Any, name: str) -> bool:
    return hasattr(module, name) or importlib.util.find_spec(f"{module.__name__}.{name}") is not None


@pytest.mark.parametrize("command", commands(), ids=str)
def test_a_command_is_one_that_exists(command: Command) -> None:
    program, *arguments = command.words
    assert program in CHECKS, f"{command}: no test knows {program!r}"
    CHECKS[program](arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        "perennial statsu flights",
        "perennial status fligths",
        "perennial rollback flights --reasn x",
        "perennial trigger flights training --param max_iter=-1",
        "perennial trigger flights features --partition 2012-01",
        "make demmo",
        "make plan OTU=plan.md",
        "curl -sS http://127.0.0.1:8080/api/v2/dag/flights.features",
        'curl -sS http://127.0.0.1:8080/api/v2/dags/flights.training/dagRuns -d {"dag_run_id":"a","conf":{"to":2}}',
        "docker compose up --biuld",
        "rm -rf /",
    ],
)
def test_a_wrong_command_is_seen(wrong: str) -> None:
    program, *arguments = wrong.split(" ")
    with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind: it is seen
        CHECKS[program](arguments)
