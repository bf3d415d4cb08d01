"""Renders Markdown of the library or of a person as harmless HTML: no raw HTML, no images, no styles."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def html(markdown: str) -> Markup:
    """The text as HTML. Links lead out of the frame that Airflow's UI shows a page in."""
    parser = _parser()
    tokens = parser.parse(markdown)
    for token in (each for block in tokens for each in (block, *(block.children or ()))):
        token.attrs.pop("style", None)  # How a table's column is aligned; the pages' policy forbids it.
        if token.type == "link_open":
            token.attrSet("class", "leaving")
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - HTML in it was escaped


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
