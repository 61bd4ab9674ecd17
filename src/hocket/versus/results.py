"""What a run of the head-to-head found, as a file keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hocket.errors import UsageError
from hocket.versus.scenario import Values

FORMAT = 1
Facts = dict[str, Any]


@dataclass
class Results:
    """Raw values of every run, by scenario and platform, and all that a reader has to know."""

    kind: str  # "full", "quick" or "partial"
    date: str
    commit: str = ""
    machine: Facts = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)  # names of the platforms, by key
    missing: dict[str, str] = field(default_factory=dict)  # platforms left out, and why
    runs: dict[str, dict[str, list[Values]]] = field(default_factory=dict)
    sizes: dict[str, Facts] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # how long each scenario took in all
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    disturbed: dict[str, list[float]] = field(default_factory=dict)  # cores, of runs that were
    notes: list[str] = field(default_factory=list)

    def add(self, scenario: str, platform: str, values: Values) -> None:
        self.runs.setdefault(scenario, {}).setdefault(platform, []).append(values)

    def fail(self, scenario: str, platform: str, why: str) -> None:
        self.failed.setdefault(scenario, {})[platform] = why

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


def load(path: Path) -> Results:
    """Raises UsageError for what is no file of results."""
    try:
        found = json.loads(path.read_text())
        if found.pop("format") != FORMAT:
            raise UsageError(f"{path} is of another format than {FORMAT}: measure again")
        results = Results(**found)
        _check(results)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is no file of results: {error}") from None
    return results


def _check(results: Results) -> None:
    """Raises what `load` catches when the values are none."""
    for platforms in results.runs.values():
        for runs in platforms.values():
            for values in runs:
                for value in values.values():
                    float(value)
    if not isinstance(results.columns, Mapping):
        raise TypeError("columns are names by platform")
