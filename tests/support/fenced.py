"""The commands in the documentation's fenced blocks, as bash itself understands them.

Each page's blocks are executed by a real bash that finds no program at all: whatever it would start is written down
instead, with quotes, variables, continued lines and pipes resolved. So no command is overlooked by a parser of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
#: Languages of blocks that are to be executed; those of the others show code, data or output.
SHELLS = ("bash", "sh", "shell", "console")
SHOWN = ("", "text", "python", "toml", "mermaid", "yaml", "json", "sql", "ini", "nginx")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A program's words end with the one character, and the program with the other: neither is ever in a page.
_WORD, _END = "\x1f", "\x1e"
#: A program that is named by its path in the environment is looked for there.
_BY_PATH = re.compile(r"(?<![\w/])\.venv/bin/([\w-]+)")
_RECORDING = f"""\
export BLOCK
record() {{
  local line
  printf -v line '%s{_WORD}' "$BLOCK" "${{BASH_LINENO[-1]}}" "$@"
  printf '%s{_END}' "$line" >> "$RECORD"
}}
command_not_found_handle() {{ record "$@"; }}
source() {{ record source "$@"; }}
cd() {{ record cd "$@"; }}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: Of the page, on which it begins.
    """

    page: Path
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A program that a block starts, with its arguments."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block.name}: {' '.join(self.words)}"


@cache
def blocks() -> tuple[Block, ...]:
    """Every fenced block of every page."""
    return tuple(
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for page in PAGES
        for text in [page.read_text()]
        for match in _BLOCK.finditer(text)
    )


@cache
def commands() -> tuple[Command, ...]:
    """Every command of every block that is to be executed, in order."""
    to_execute = [block for block in blocks() if block.language in SHELLS]
    return tuple(
        command for page in PAGES for command in _recorded([block for block in to_execute if block.page == page])
    )


def _recorded(page: list[Block]) -> list[Command]:
    """What the blocks of one page start: in one shell, since a later block uses what an earlier one has set.

    Raises:
        AssertionError: bash does not understand a block.
    """
    if not page:
        return []
    bash = shutil.which("bash")
    assert bash
    script = _RECORDING + "".join(f"BLOCK={number}\n{block.code}\n" for number, block in enumerate(page))
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        nothing = Path(folder) / "nothing"
        (nothing / ".venv/bin").mkdir(parents=True)
        for name in _BY_PATH.findall(script):
            stub = nothing / ".venv/bin" / name
            stub.write_text(f'#!{bash}\n{_RECORDING}record {name} "$@"\n')
            stub.chmod(0o755)
        done = subprocess.run(
            [bash, "-u", "-c", script],
            cwd=nothing,
            env={"PATH": str(nothing), "RECORD": str(record), "HOME": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        text = record.read_text() if record.exists() else ""
    assert (done.returncode, done.stderr) == (0, ""), f"{os.fspath(page[0].page)}: {done.stderr}"
    started = [line.split(_WORD)[:-1] for line in text.split(_END)[:-1]]
    # The programs of a pipe start at once, whichever is first.
    in_order = sorted((int(number), int(line), words) for number, line, *words in started)
    return [Command(page[number], tuple(words)) for number, _, words in in_order]
