"""Small reports for the tests."""

from __future__ import annotations

import json
from pathlib import Path

from hocket.versus.cells import rows
from hocket.versus.consulting import STORED
from hocket.versus.figures import Figures
from hocket.versus.results import Results, load
from hocket.versus.scenarios import SCENARIOS

NAMES = {"go": "Go", "node": "Node.js", "hocket": "Hocket"}


def results(
    runs: dict[str, dict[str, list[dict[str, float]]]], names: dict[str, str] = NAMES
) -> Results:
    return Results(kind="full", date="2026-01-01", columns=dict(names), runs=runs)


def hello(go: list[float], node: list[float], hocket: list[float]) -> Results:
    """Requests per second of some runs."""
    return results(
        {
            "hello": {
                key: [{"per_s": value} for value in values]
                for key, values in (("go", go), ("node", node), ("hocket", hocket))
            }
        }
    )


def stored() -> Figures:
    return Figures(rows(load(STORED), SCENARIOS))


def written(folder: Path, found: Results) -> Path:
    path = folder / "versus.json"
    found.save(path)
    assert json.loads(path.read_text())["format"]
    return path
