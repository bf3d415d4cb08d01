"""Log lines on standard error: text for people, or a JSON object a line for a log collector."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal


class JsonLines(logging.Formatter):
    """A record as one line of JSON: `timestamp` (UTC), `level`, `logger`, `event`, `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line.

        Args:
            record: What was logged.
        """
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def handler(form: Literal["text", "json"]) -> logging.Handler:
    """Writes log lines to standard error.

    Args:
        form: Of the lines.
    """
    to_stderr = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    to_stderr.setFormatter(JsonLines() if form == "json" else text)
    return to_stderr
