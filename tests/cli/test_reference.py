"""docs/cli.md is what the commands say."""

from __future__ import annotations

from pathlib import Path

from perennial.cli import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference.markdown(), "run `make docs`"


def test_every_option_of_a_command_is_told() -> None:
    section = reference.markdown().partition("## perennial quarantine release")[2].partition("\n## ")[0]
    for option in ("--partition", "--accept", "--run / --no-run", "--dry-run", "--json"):
        assert f"- `{option}" in section
