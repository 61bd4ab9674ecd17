"""SQL by name: `load("inbox").page` is what follows `-- name: page` in inbox.sql beside this."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(room: str) -> SimpleNamespace:
    """All queries of one file."""
    text = (Path(__file__).parent / f"{room}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return SimpleNamespace(**dict(zip(parts[::2], parts[1::2], strict=True)))
