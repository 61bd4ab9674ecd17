"""Figures of a report in sentences: `{scenario.measure:platform}`, and comparisons of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hocket.versus.cells import TIE, Cell, Row, compare, number
from hocket.versus.platforms import PLATFORMS

PLACE = re.compile(r"\{(\w+\.\w+)(?::(\w+))?\}")
COMPARISON = re.compile(r"(\S+) ([<>]) (\S+)")
NOTHING = "(not measured)"
YES, NO = "yes", "no"


class Figures:
    """All rows of a report, by key."""

    def __init__(self, found: Iterable[Row]) -> None:
        self.rows: Mapping[str, Row] = {row.key: row for row in found}

    def value(self, key: str, platform: str) -> float | None:
        row = self.rows.get(key)
        cell = row.cells.get(platform) if row else None
        return cell.median if cell else None

    def shown(self, key: str, platform: str) -> str:
        """With its unit, but for rates; "(not measured)" for what was not."""
        value = self.value(key, platform)
        if value is None:
            return NOTHING
        measure = self.rows[key].measure
        unit = "" if measure.unit == "/s" else measure.unit  # the sentence says it
        return f"{number(value, measure)} {unit}".strip()

    def filled(self, text: str, platform: str = "") -> str:
        """`text` with figures in place of their names; `platform` for those that name none."""
        return PLACE.sub(lambda found: self.shown(found[1], found[2] or platform), text)

    def holds(self, comparison: str) -> str | None:
        """Of `a.b:go < c.d:node` or a number: YES, NO, or TIE as in the tables. None when one side
        was not measured.
        """
        found = COMPARISON.fullmatch(comparison)
        assert found, comparison
        left, right = self._side(found[1]), self._side(found[3])
        if left is None or right is None:
            return None
        row = self.rows.get(found[1].partition(":")[0])
        if ":" in found[3] and row and compare(row.measure, left, right) == TIE:
            return TIE
        smaller = left.median < right.median
        return YES if smaller == (found[2] == "<") and left.median != right.median else NO

    def _side(self, text: str) -> Cell | None:
        key, colon, platform = text.partition(":")
        if not colon:
            return Cell.of([float(text)])
        row = self.rows.get(key)
        return row.cells.get(platform) if row else None


def places(text: str) -> list[tuple[str, str]]:
    """The figures that a text names: key and platform."""
    return [(key, platform) for key, platform in PLACE.findall(text)]


def known(platform: str) -> bool:
    return not platform or platform in PLATFORMS
