"""What the documentation quotes, draws and points at is what the product says and has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ROOT / "include/perennial/pages"
SCREENSHOTS = DOCS / "screenshots"
MOST_BYTES = 150_000
#: Said by what is not ours, or a name that no message holds by itself.
_NOT_A_MESSAGE = re.compile(r"^(\d+|[a-z_]+\.[a-z_]+|[a-z]+)$")


@cache
def sayings() -> str:
    """Every text that the product can say: strings of the code, `...` for what is filled in, templates, Makefile."""
    texts = []
    for file in sorted([*ROOT.glob("include/perennial/**/*.py"), *ROOT.glob("dags/*.py")]):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(one.value) if isinstance(one, ast.Constant) else "..." for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.ClassDef):
                texts.append(node.name)
    texts += [file.read_text() for file in sorted(PAGES.glob("templates/*.jinja"))]
    texts.append((ROOT / "Makefile").read_text())
    return "\n".join(texts)


def quoted() -> list[str]:
    """What stands between backticks in the first column of the tables of symptoms."""
    rows = re.findall(r"^\| (.+?) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    return sorted({message for row in rows for message in re.findall(r"`([^`]+)`", row)})


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_exists_in_the_code(message: str) -> None:
    if _NOT_A_MESSAGE.match(message) and " " not in message:
        assert message in sayings() or message in ("400", "409")
        return
    for part in (part.strip() for part in message.split("...")):  # An ellipsis is what the message fills in.
        assert part in sayings(), f"nothing says {part!r}"


def test_every_picture_is_there_small_and_shown() -> None:
    shown = {name for page in DOCS.glob("*.md") for name in re.findall(r"\]\(screenshots/([\w.]+)\)", page.read_text())}
    pictures = {file.name for file in SCREENSHOTS.glob("*")}
    assert shown == pictures
    for file in SCREENSHOTS.glob("*.png"):
        assert file.stat().st_size <= MOST_BYTES, file.name
        assert file.read_bytes()[16:20] == (1280).to_bytes(4, "big"), f"{file.name} is not 1280 pixels wide"


def test_every_picture_shows_a_page_that_exists() -> None:
    script = (DOCS / "make_screenshots.py").read_text()
    taken = re.findall(r'Picture\("(\w+)", (f?)"([^"]*)"|Picture\("(\w+)", FLIGHTS', script)
    names = {one or other for one, _, _, other in taken}
    assert names == {file.stem for file in SCREENSHOTS.glob("*.png")}
    for _, is_ours, path, _ in taken:
        if is_ours:
            address = path.replace("{FLIGHTS}", "/use_cases/flights")
            assert any(re.fullmatch(route, address) for route in routes()), f"no page has the address {address}"


@cache
def routes() -> list[str]:
    """The addresses of the pages, as patterns; the reference names them from the code."""
    paths = re.findall(r"^\| `/perennial(/[^`]*)`", (DOCS / "rest.md").read_text(), re.MULTILINE)
    return [re.sub(r"\{[^}]*\}", "[^/]+", path) for path in paths]


def test_what_the_documentation_says_to_press_is_on_a_page() -> None:
    on_pages = "\n".join(file.read_text() for file in PAGES.glob("templates/*.jinja"))
    for button in ("Roll back", "Resume promotion", "Retrain", "Approve or reject", "Review all that are pending"):
        assert button in on_pages, button


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, f"docs/README.md does not name {page.name}"
