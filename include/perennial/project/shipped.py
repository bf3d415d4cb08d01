"""What the installed version writes into a project, and what its changelog says of changes in behaviour."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jinja2
from packaging.version import Version

#: Files of a project that are those of Perennial's own repository; hatch puts them into the wheel.
_COPIED = ("dags/*.py", "config/*.py", "feature_repo/feature_store.yaml")
#: Template -> file of a project.
_RENDERED = {
    "pyproject.toml": "pyproject.toml",
    "Makefile": "Makefile",
    "ci.yaml": ".github/workflows/ci.yaml",
    "gitlab-ci.yml": ".gitlab-ci.yml",
    "gitignore": ".gitignore",
    "env.example": ".env.example",
    "README.md": "README.md",
    "use_cases.md": "include/use_cases/README.md",
    "test_dags.py": "tests/test_dags.py",
}
_IN_THE_WHEEL = Path(__file__).parent / "shipped"
_ENTRY = re.compile(r"^- (.+(?:\n  .+)*)", re.MULTILINE)


def installed() -> str:
    """The version of the package that runs."""
    return version("perennial")


def files(name: str) -> dict[str, str]:
    """Path relative to the project -> content, of every file that the installed version writes.

    Args:
        name: The project's name, as packages are named.
    """
    copied = {
        str(file.relative_to(_root())): file.read_text("utf-8")
        for pattern in _COPIED
        for file in sorted(_root().glob(pattern))
    }
    context = {"name": name, "version": installed(), "below": _below(Version(installed()))}
    rendered = {
        path: _environment().get_template(f"{template}.jinja").render(context) for template, path in _RENDERED.items()
    }
    return copied | rendered


def behaviour_changes(since: str) -> dict[str, list[str]]:
    """Version -> what makes an existing project behave differently, of all versions later than `since`."""
    sections = re.split(r"^## ", (_root() / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    changes = {}
    for section in sections:
        named = re.match(r"\[(?:Unreleased\]: )?(\d[\w.]*)", section)
        _, heading, rest = section.partition("### Behaviour changes\n")
        if named and heading and Version(named[1]) > Version(since):
            entries = _ENTRY.findall(rest.partition("\n### ")[0])
            changes[named[1]] = [" ".join(entry.split()) for entry in entries]
    return changes


def _root() -> Path:
    """Where the copied files are: in the wheel, or else in the checkout."""
    return _IN_THE_WHEEL if _IN_THE_WHEEL.is_dir() else Path(__file__).resolve().parents[3]


def _below(current: Version) -> str:
    """The first version that may break a project: the next minor one before 1.0, else the next major one."""
    return f"0.{current.minor + 1}" if current.major == 0 else str(current.major + 1)


@cache
def _environment() -> jinja2.Environment:
    # The only value that a person chooses is a name of letters, digits and dashes.
    return jinja2.Environment(  # noqa: S701
        loader=jinja2.PackageLoader("perennial.project"), keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
