"""Running servers with users of four roles, and a user with a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Frame, Page, Request

#: Far more than a run needs on a quiet machine: tests share it with others.
PATIENCE = 400.0
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True)
class Machine:
    """Running servers with the use case `energy`, and who may log in."""

    folder: Path
    environment: dict[str, str]
    airflow: str
    passwords: dict[str, str] = field(repr=False)

    def perennial(self, *arguments: str) -> str:
        """What a command prints, once it has succeeded."""
        command = [sys.executable, "-m", "perennial.cli", *arguments]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def python(self, code: str) -> str:
        """What a piece of code prints that runs where the servers run."""
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def ledger(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return json.loads(
            self.python(
                "import json; from perennial import discovery; from perennial.registry import ledger;"
                "print(json.dumps([one.as_json() for one in ledger.entries(discovery.load('energy'))]))"
            )
        )

    def wait_for(self, dag: str, run: str, *states: str) -> str:
        """Wait until a run is over, or its task `approve` is in one of `states`."""
        user = "admin"
        token = httpx.post(
            f"{self.airflow}/auth/token", json={"username": user, "password": self.passwords[user]}, timeout=60
        ).json()["access_token"]
        with httpx.Client(
            base_url=f"{self.airflow}/api/v2/dags/{dag}/dagRuns",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        ) as http:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                state: str = http.get(f"/{run}").json()["state"]
                if states:
                    asking = http.get(f"/{run}/taskInstances/approve").json().get("state")
                    if asking in states:
                        return str(asking)
                if state in ("success", "failed"):
                    return state
                time.sleep(0.5)
        raise AssertionError(f"{dag} {run} is still {state}")


@dataclass
class Seen:
    """What the browser was asked for and complained of, while a person looked."""

    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._asked)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _asked(self, request: Request) -> None:
        self.addresses.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if message.type == "error" and "/perennial/" in where:
            self.complaints.append(f"{where}: {message.text}")


class Person:
    """A logged-in user with a browser window of their own."""

    def __init__(self, browser: Browser, machine: Machine, user: str, **window: Any) -> None:
        self.machine = machine
        self.seen = Seen()
        self.context = browser.new_context(base_url=machine.airflow, viewport=window.pop("viewport", WIDE), **window)
        self.context.set_default_timeout(60_000)
        self.seen.watch(self.context)
        self.page: Page = self.context.new_page()
        self.log_in(user, machine.passwords[user])

    def log_in(self, user: str, password: str) -> None:
        self.page.goto("/")
        self.page.fill("input[name=username]", user)
        self.page.fill("input[name=password]", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda address: "/login" not in address)
        self.page.get_by_role("link", name="Perennial").first.wait_for()

    def at(self, path: str) -> Page:
        """One of Perennial's pages by itself."""
        self.page.goto(f"/perennial{path}")
        return self.page

    def framed(self, address: str = "/plugin/perennial") -> Frame:
        """Perennial's page inside a page of Airflow's UI."""
        self.page.goto(address)
        return self.frame()

    def frame(self) -> Frame:
        """The frame that Airflow's UI shows Perennial's page in, once it is loaded."""
        handle = self.page.wait_for_selector("iframe[title=Perennial]")
        inside = handle.content_frame()
        assert inside is not None
        inside.wait_for_selector("main h1")
        return inside
