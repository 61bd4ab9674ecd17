"""The ledger: every claim that articles make, with a verdict each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hocket.versus.cells import TIE
from hocket.versus.figures import YES, Figures

LEDGER = Path(__file__).with_name("claims.toml")


@dataclass(frozen=True)
class Claim:
    """A row: `cells` are keys of the report's rows, `sources` where somebody else says it."""

    number: int
    claim: str
    verdict: str
    finding: str
    cells: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def table() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = tomllib.loads(LEDGER.read_text())["claim"]
    return found


def ledger(figures: Figures) -> list[Claim]:
    """With this report's figures in it."""
    return [
        Claim(
            number=each["number"],
            claim=each["claim"],
            verdict=verdict(each, figures),
            finding=figures.filled(each["finding"]),
            cells=tuple(each.get("cells", ())),
            sources=tuple(each.get("sources", ())),
        )
        for each in table()
    ]


def verdict(claim: Mapping[str, Any], figures: Figures) -> str:
    """Of a measured claim also whether it was true here."""
    answers = [figures.holds(comparison) for comparison in claim.get("holds", ())]
    if claim["verdict"] != "measured" or not answers:
        return str(claim["verdict"])
    if None in answers:
        return "measured: not in this run"
    if set(answers) == {TIE}:
        return "measured: a tie here"
    if set(answers) == {YES}:
        return "measured: true"
    return "measured: in part" if YES in answers else "measured: not so here"
