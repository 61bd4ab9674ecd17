"""The head-to-head table: what sets the platforms apart, with figures where there are any."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hocket.versus.figures import Figures, places

TABLE = Path(__file__).with_name("aspects.toml")
JUDGEMENT = "Judgement"


@dataclass(frozen=True)
class Aspect:
    """A row, and what each cell of it rests on."""

    title: str
    cells: Mapping[str, str]  # by platform
    bases: Mapping[str, str]

    def text(self, platform: str) -> str:
        return self.cells.get(platform, "")

    def basis(self, platform: str) -> str:
        return self.bases.get(platform, "")


def table() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = tomllib.loads(TABLE.read_text())["aspect"]
    return found


def aspects(figures: Figures) -> list[Aspect]:
    """With this report's figures in it."""
    return [
        Aspect(
            each["title"],
            {key: figures.filled(each[key], key) for key in ("go", "node", "hocket")},
            {key: _basis(each, key) for key in ("go", "node", "hocket")},
        )
        for each in table()
    ]


def _basis(each: Mapping[str, Any], platform: str) -> str:
    keys = dict.fromkeys(key for key, _ in places(each[platform]))
    measured = f"Measured: {', '.join(keys)}" if keys else ""
    judged = JUDGEMENT if each.get("judgement") else ""
    return "; ".join(part for part in (measured, judged) if part)
