"""Perennial's pages in a real Chromium, on real servers, seen and used by people of four roles.

The same servers and browser serve all files of this folder, which run in the order of their names: what an earlier
test has done is there for the later ones. Screenshots are kept in `build/screenshots`, or where `SCREENSHOTS` says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import energy_checkout
from people import PATIENCE, Machine, Person
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
# Pages load much beside what is looked for, on a machine that tests share. In milliseconds.
expect.set_options(timeout=60_000)
ROLES = {"uma": "user", "otto": "op", "vera": "viewer"}


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """`perennial up` for a checkout with `energy` alone, four users, and two days that have passed through."""
    folder, environment = energy_checkout("perennial-browser-")
    environment["PERENNIAL_USERS"] = json.dumps(ROLES)
    running = Machine(folder, environment, f"http://127.0.0.1:{environment['PERENNIAL_AIRFLOW_PORT']}", {})
    try:
        running.perennial("up")
        access = json.loads(running.perennial("login", "--json"))
        running.passwords.update(access["others"] | {access["user"]: access["password"]})
        running.perennial("replay", "energy", "--from", "2024-01-01", "--to", "2024-01-02")
        yield running
    finally:
        subprocess.run(
            [sys.executable, "-m", "perennial.cli", "down"], env=environment, capture_output=True, timeout=PATIENCE
        )
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    binary = shutil.which("chromium")
    assert binary, "These tests need chromium. Fix: apt-get install chromium"
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs what a container, or root, does not have.
        started = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def person(browser: Browser, machine: Machine) -> Iterator[Callable[..., Person]]:
    """Somebody who has logged in, kept for all tests: `person("uma")`."""
    persons: dict[str, Person] = {}

    def named(user: str, **window: Any) -> Person:
        key = json.dumps([user, window], sort_keys=True)
        if key not in persons:
            persons[key] = Person(browser, machine, user, **window)
        return persons[key]

    yield named
    for one in persons.values():
        one.context.close()


@pytest.fixture(scope="session")
def keep() -> Callable[[Page, str], None]:
    """Keeps a screenshot of a page under a name."""
    folder = Path(os.environ.get("SCREENSHOTS") or ROOT / "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return shoot
