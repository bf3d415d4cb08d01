"""How a page of the reference is put together."""

from __future__ import annotations

from collections.abc import Iterable

NOTE = "<!-- Written by `make docs` from the code; edit that. -->"


def page(title: str, introduction: str, lines: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: The heading of the page, without the `#`.
        introduction: Markdown between the heading and the lines.
        lines: The rest of the page, in Markdown.
    """
    return "\n".join([f"# {title}", "", NOTE, "", introduction.strip(), "", *lines]).rstrip() + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The lines of a table; a bar inside a cell is escaped.

    Args:
        head: The headings, one for each column.
        rows: Cells in Markdown, as many in each row as there are headings.
    """
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def paragraphs(text: str | None) -> str:
    """A docstring, or the help of a command, as paragraphs of one line each."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").strip().split("\n\n"))
