"""The page of the commands; that it is up to date is tested beside `perennial.reference`."""

from __future__ import annotations

from perennial.cli import reference


def test_every_option_of_a_command_is_documented() -> None:
    section = reference.markdown().partition("## perennial quarantine release")[2].partition("\n## ")[0]
    for option in ("--partition", "--accept", "--run / --no-run", "--dry-run", "--json"):
        assert f"- `{option}" in section
