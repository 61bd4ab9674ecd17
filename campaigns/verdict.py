"""What a campaign asked for and what it found, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Item(NamedTuple):
    """One thing that was asked for."""

    name: str
    asked: str
    found: str
    ok: bool


def at_most(name: str, limit: float, found: float, unit: str = "") -> Item:
    return Item(name, f"<= {limit:g}{unit}", f"{found:.4g}{unit}", found <= limit)


def exactly(name: str, asked: int, found: int) -> Item:
    return Item(name, str(asked), str(found), asked == found)


def percentile(values: Sequence[float], part: float) -> float:
    """0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def show(title: str, items: Sequence[Item]) -> bool:
    """Print it; whether all is well."""
    print(f"{title}\n")
    rows = [(item.name, item.asked, item.found) for item in items]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for item, row in zip(items, rows, strict=True):
        name, asked, found = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print(f"  {name}  asked {asked}  found {found}  {'ok' if item.ok else 'NOT OK'}")
    return all(item.ok for item in items)
