"""The documentation names only what is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
#: A file or folder of the project: has a slash or a known ending, and no blank, placeholder or pattern.
_PATH = re.compile(r"^[\w./-]+(/|\.(py|md|toml|ya?ml|lock|csv|ini|json|db))$")
#: What a run makes, what a use case writes, what belongs to other programs, addresses of pages.
_NOT_OURS = re.compile(
    r"^\.perennial(/|-project\.json$)|^/perennial/|^(login|keys|gate|plan|slices|training_set|serving_tokens|manifest|provenance|sbom\.cdx)\.json$|^(glance|lake_cache|mlflow)\.db$|^(prometheus|perennial_rules)\.yml$|^perennial_dashboard\.json$|^(include/use_cases|feature_repo)/energy"
)
_PLACES = ("", "include/perennial", "include/use_cases/flights", "docs", "tests", "feature_repo")
#: Addresses of machines and of people's folders have no place in the documentation.
_PRIVATE = re.compile(r"/(home|work|root|Users|tmp)/")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_relative_links_resolve(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{ids(page)} links to {target}, which does not exist"
        assert not anchor or anchor in headings(linked), f"{ids(page)} links to {target}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_named_exists(page: Path) -> None:
    for name in _CODE.findall(_FENCE.sub("", page.read_text())):
        if not _PATH.match(name) or _NOT_OURS.match(name):
            continue
        places = [page.parent / name, *(ROOT / place / name for place in _PLACES)]
        assert any(place.exists() for place in places), f"{ids(page)} names {name}, which does not exist"


def test_the_tree_of_the_readme_is_true() -> None:
    tree = next(block for block in _FENCE.findall((ROOT / "README.md").read_text()) if "feature_repo/" in block)
    folders: list[str] = []
    for line in tree.splitlines()[1:-1]:
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth:] = [name]
        assert (ROOT / "/".join(folders)).exists(), f"README.md draws {'/'.join(folders)}, which does not exist"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_make_target_named_exists(page: Path) -> None:
    named = set(re.findall(r"(?:^|[`\s])make ([a-z][a-z-]*)(?=[`\s]|$)", _commands(page), re.MULTILINE))
    assert named <= make_targets(), f"{ids(page)} names {', '.join(sorted(named - make_targets()))}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_named_exists(page: Path) -> None:
    from perennial.cli import app

    commands = _commands_of(app)
    groups = {group.name: _commands_of(group.typer_instance) for group in app.registered_groups}
    named = set(re.findall(r"(?:^|`)perennial ([a-z]+)(?: ([a-z]+))?", _commands(page), re.MULTILINE))
    for command, more in named:
        assert command in commands or command in groups, f"{ids(page)} names perennial {command}"
        assert command in commands or not more or more in groups[command], (
            f"{ids(page)} names perennial {command} {more}"
        )


def _commands_of(app) -> set[str]:
    return {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_setting_named_exists(page: Path) -> None:
    from perennial.settings import Settings

    allowed = {f"PERENNIAL_{name.upper()}" for name in Settings.model_fields} | {"PERENNIAL_USER", "PERENNIAL_PASSWORD"}
    named = set(re.findall(r"\bPERENNIAL_[A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= allowed, f"{ids(page)} names {', '.join(sorted(named - allowed))}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_nothing_names_a_folder_of_somebodys_machine(page: Path) -> None:
    assert not _PRIVATE.search(page.read_text())


def test_hooks_and_ci_call_what_exists() -> None:
    workflow = (ROOT / ".github/workflows/ci.yaml").read_text()
    assert set(re.findall(r"run: make ([a-z-]+)", workflow)) <= make_targets()
    assert "repo: local" in (ROOT / ".pre-commit-config.yaml").read_text()
    assert "http" not in (ROOT / ".pre-commit-config.yaml").read_text()


def _commands(page: Path) -> str:
    """Code of a page: its blocks, and what stands between backticks."""
    text = page.read_text()
    return "\n".join([*_FENCE.findall(text), *(f"`{code}`" for code in _CODE.findall(_FENCE.sub("", text)))])
