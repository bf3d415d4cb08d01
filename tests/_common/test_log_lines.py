"""Log lines as text and as JSON."""

from __future__ import annotations

import json
import logging
from typing import Literal

import pytest

from perennial._common import log_lines


def written(form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> str:
    logger = logging.Logger("perennial.serving.server")
    logger.addHandler(log_lines.handler(form))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("Serving %s", "énergie")
    return capsys.readouterr().err


def test_a_record_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = written("json", capsys).splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["event"]) == ("error", "perennial.serving.server", "Serving énergie")
    assert told["exception"].endswith("ValueError: two\nlines")
    assert told["timestamp"].endswith("+00:00")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert " ERROR Serving énergie\nTraceback" in written("text", capsys)
