"""Log lines: for people as text, for machines as JSON, one object a line."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

from hocket.errors import UsageError
from hocket.settings import Settings

_STANDARD: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, message, and whatever the line was given
    as `extra`.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, and `extra` as key=value. Control characters, which a client may have
    sent, are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(
            f"{key}={value}"
            for key, value in record.__dict__.items()
            if key not in _STANDARD and value is not None
        )
        time = self.formatTime(record, "%H:%M:%S")
        text = f"{time} {record.levelname.lower():7} {record.getMessage()} {extra}".rstrip()
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def set_up_logs(settings: Settings) -> None:
    """Send the `hocket` logger to stderr as the settings say, unless the program has set up logging
    itself; as JSON all others' warnings too, so that each line parses. Raises UsageError.
    """
    if settings.log_format not in ("text", "json"):
        raise UsageError(f"log_format is text or json, not {settings.log_format!r}")
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise UsageError(f"log_level is debug, info, warning or error, not {settings.log_level!r}")
    log = logging.getLogger("hocket")
    log.setLevel(level)
    if logging.getLogger().handlers or log.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter()
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    (logging.getLogger() if settings.log_format == "json" else log).addHandler(handler)
