"""Takes the pictures of docs/tutorial.md again, from a running demo whose year has been replayed.

    python docs/make_screenshots.py [--airflow URL] [--only NAME ...]

Needs Playwright, Pillow, and a Chromium: Debian's, or another one that CHROMIUM names. The login is that of the demo
(`perennial login`). Pictures are 1280 pixels wide and have a palette of 128 colours at most, so that the
repository stays small.
"""

from __future__ import annotations

import argparse
import io
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from perennial.services.credentials import login
from perennial.settings import settings

FOLDER = Path(__file__).parent / "screenshots"
WIDTH, HEIGHT = 1280, 800
COLOURS = 128
#: No picture is larger than this; one that is gets fewer colours.
MOST_BYTES = 150_000


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        path: The page, below Airflow's address.
        at: A selector that the picture begins at; empty: the top of the page.
        height: In pixels.
        is_framed: Airflow's own UI shows a page of ours in a frame.
    """

    name: str
    path: str
    at: str = ""
    height: int = HEIGHT
    is_framed: bool = False


FLIGHTS = "/perennial/use_cases/flights"
PICTURES = (
    Picture("fleet", "/plugin/perennial", height=560, is_framed=True),
    Picture("use_case", FLIGHTS),
    Picture("timeline", FLIGHTS, at="#timeline"),
    Picture("drift", FLIGHTS, at="#drift", height=700),
    Picture("partition", f"{FLIGHTS}/partitions/2013-02"),
    Picture("quarantine", f"{FLIGHTS}/partitions/2013-02/quarantine", height=640),
    Picture("version", f"{FLIGHTS}/versions/6"),
    Picture("alarm", f"{FLIGHTS}/partitions/2013-09"),
    Picture("roll_back", f"{FLIGHTS}/actions/roll-back", height=640),
    Picture("airflow", "/dags/flights.monitoring/plugin/perennial_dag", is_framed=True),
)


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airflow", default=settings().airflow_uri, help="where the demo's Airflow is")
    parser.add_argument("--only", nargs="+", default=[], help="names of pictures")
    wanted = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        log_in(page, wanted.airflow)
        for picture in PICTURES:
            if not wanted.only or picture.name in wanted.only:
                save(picture, take(page, wanted.airflow, picture))
        browser.close()


def log_in(page: Page, airflow: str) -> None:
    """As a person does, by the form."""
    access = login()
    page.goto(f"{airflow}/auth/login/")
    page.fill("input[name=username]", access.user)
    page.fill("input[name=password]", access.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "/auth/login" not in url)


def take(page: Page, airflow: str, picture: Picture) -> bytes:
    """A picture as PNG."""
    page.set_viewport_size({"width": WIDTH, "height": picture.height})
    page.goto(airflow + picture.path, wait_until="networkidle")
    if picture.is_framed:
        page.frame_locator("iframe").locator("h1").wait_for()
    if picture.at:
        page.locator(picture.at).evaluate("element => element.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(2500)  # Charts draw themselves after the page is there.
    return page.screenshot()


def save(picture: Picture, taken: bytes) -> None:
    """Write a picture with as many colours as its size allows."""
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    for colours in (COLOURS, 64, 32):
        reduced = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
        if reduced.tell() <= MOST_BYTES:
            break
    else:
        raise SystemExit(f"{picture.name} is {reduced.tell():,} bytes, more than {MOST_BYTES:,}: make it lower")
    (FOLDER / f"{picture.name}.png").write_bytes(reduced.getvalue())
    print(f"{picture.name}: {reduced.tell():,} bytes")


if __name__ == "__main__":
    main()
