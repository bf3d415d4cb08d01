"""Renders a model card as Markdown, as an HTML page and as a few lines for the registry.

Whatever is put into the template is escaped unless it is `Raw`, so nothing that comes from data (a slice's value, a
reason, a name) can be read as Markdown or HTML. HTML that survived would be shown as text: the converter takes none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from perennial.evaluation.quality import Measured
from perennial.gate.decision import in_words
from perennial.gate.model_card.facts import Card

#: How a description begins its link to the card.
LINK = "[Model card]"
#: Longer text from data is cut.
_LONGEST = 1_000
_SPECIAL = re.compile(r"([\\`*_\[\]<>|&~#!])")
#: What makes a list or a heading of a line that begins with it.
_LEADING = re.compile(r"^([-+=]|\d{1,9}(?=[.)](\s|$)))")


class Raw(str):
    """Markdown of our own: goes into the card as it is."""


def markdown(card: Card) -> str:
    """The card as Markdown (CommonMark with tables)."""
    return _template().render(card=card, use_case=card.use_case)


def html(card: Card, source: str) -> str:
    """The card as a page that needs nothing else: no script, no address that it loads from.

    Args:
        card: For the title.
        source: The card as `markdown` renders it.
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(source)
    title = escape(f"{card.use_case.name} v{card.version}")
    return _PAGE.format(title=title, body=body)


def description(card: Card, link: str) -> str:
    """The registry's description of the version, in a few lines of Markdown.

    Args:
        card: Its facts.
        link: Address of the whole card.
    """
    decided = card.final_entry or card.gate
    reason = decided.reason if decided else "not evaluated yet"
    return f"Trained on {_text(card.window)}. {_text(reason)}.\n\n{LINK}({_address(link)})"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("perennial.gate.model_card", "."),
        autoescape=False,  # noqa: S701 - that is for HTML; `finalize` escapes for Markdown
        finalize=_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": _code,
        "number": _number,
        "measured": _measured,
        "moment": _moment,
        "span": _span,
        "address": lambda value: Raw(_address(value)),
        "outcome": lambda value: in_words(value),
        "share": lambda value: Raw(f"{100 * value:.3g} %"),
    }
    return environment.get_template("card.md.j2")


def _text(value: Any) -> str:
    """`value` as one line of text in Markdown."""
    if isinstance(value, Raw):
        return value
    line = " ".join(str(value).split())
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
    line = _SPECIAL.sub(r"\\\1", "".join(letter for letter in line if letter.isprintable()))
    # A number's full stop is escaped after it, a mark before it.
    return _LEADING.sub(lambda match: f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}", line)


def _code(value: Any) -> Raw:
    """A name or a command, as code where that is possible."""
    line = str(value)
    if not line or re.search(r"[`|\\]|[^\x20-\x7e]", line) or line != line.strip() or len(line) > _LONGEST:
        return Raw(_text(value))
    return Raw(f"`{line}`")


def _number(value: Any) -> Raw:
    match value:
        case None:
            return Raw("not recorded")
        case bool():
            return Raw("yes" if value else "no")
        case int():
            return Raw(f"{value:,}")
        case float() if value.is_integer():
            return _number(int(value))
        case float():
            return Raw(f"{value:.4g}" if abs(value) >= 1000 or abs(value) < 1e-3 else f"{value:.4f}")
    return Raw(_text(value))


def _measured(value: Measured) -> Raw:
    """A value with its interval."""
    if value.low is None or value.high is None:
        return _number(value.value)
    return Raw(f"{_number(value.value)} ({_number(value.low)} to {_number(value.high)})")


def _moment(value: Any) -> Raw:
    """A time, UTC, to the second."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return Raw(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else "not recorded")


def _span(value: timedelta) -> Raw:
    """A length of time."""
    if value % timedelta(days=1):
        return Raw(str(value))
    return Raw(f"{value.days} day{'' if value.days == 1 else 's'}")


def _address(value: str) -> str:
    """An address as the target of a link."""
    return quote(value, safe="/:?#=&%+,;@~.-_") if value.startswith(("http://", "https://")) else "#"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1, h2, h3 {{ line-height: 1.2; }}
h2 {{ margin-top: 2rem; border-bottom: 1px solid #d5dbe1; padding-bottom: .2rem; }}
table {{ border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #d5dbe1; padding: .25rem .6rem; text-align: left; vertical-align: top; }}
th {{ background: #f2f5f8; }}
code {{ background: #f2f5f8; padding: .1rem .25rem; border-radius: 3px; overflow-wrap: anywhere; }}
pre {{ background: #f2f5f8; padding: .7rem; overflow-x: auto; }}
pre code {{ padding: 0; }}
</style>
</head>
<body>
{body}</body>
</html>
"""
