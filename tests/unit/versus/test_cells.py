"""Medians, spreads, and who wins, ties or loses."""

from __future__ import annotations

import signal
from contextlib import suppress

import pytest

from hocket.errors import UsageError
from hocket.versus.cells import LIMIT, LOSS, TIE, WIN, Cell, compare, number, rows, shown
from hocket.versus.command import agreement
from hocket.versus.results import Results
from hocket.versus.scenario import Measure
from hocket.versus.scenarios import SCENARIOS
from hocket.versus.stopping import stoppable
from tests.unit.versus.reports import hello

RATE = Measure("rate", "/s", "more", 0)
TIME = Measure("time", "ms", digits=1, least=2)


def cell(*values: float) -> Cell:
    return Cell.of(list(values))


@pytest.mark.parametrize(
    ("measure", "one", "other", "verdict"),
    [
        (RATE, cell(200), cell(100), WIN),
        (RATE, cell(100), cell(200), LOSS),
        (TIME, cell(100), cell(200), WIN),
        (RATE, cell(100), cell(104), TIE),  # under 5 %
        (RATE, cell(100), cell(106), LOSS),
        (RATE, cell(90, 100, 130), cell(125, 150, 160), TIE),  # inside the spread
        (TIME, cell(1), cell(2.9), TIE),  # too small to matter
        (TIME, cell(0), cell(0), TIE),
    ],
)
def test_a_difference_is_a_win_a_loss_or_nothing(
    measure: Measure, one: Cell, other: Cell, verdict: str
) -> None:
    assert compare(measure, one, other) == verdict


def test_a_platform_is_held_against_the_best_of_the_others() -> None:
    (row,) = rows(hello([100], [50], [101]), SCENARIOS)
    assert {key: row.verdict(key) for key in row.cells} == {"go": TIE, "node": LOSS, "hocket": TIE}
    assert row.key == "hello.per_s"


def test_a_limit_is_no_rival() -> None:
    found = hello([100], [50], [101])
    found.columns["c"] = "C"
    found.add("hello", "c", {"per_s": 1000})
    (row,) = rows(found, SCENARIOS)
    assert (row.verdict("c"), row.verdict("go"), row.best()) == (LIMIT, TIE, "hocket")


def test_the_median_is_shown_with_its_spread() -> None:
    assert shown(cell(1000, 3000, 1200), RATE) == "1,200 (1,000-3,000)"
    assert shown(cell(1000), RATE) == "1,000"
    assert number(0.04, TIME) == "0.04"  # not 0.0


def test_two_runs_agree_cell_by_cell() -> None:
    one, other = hello([100], [50], [20]), hello([100], [50], [300])
    assert agreement(one, one).startswith("3 cells: the same verdict in 100 %, no tie in 100 %")
    said = agreement(one, other)
    assert "the same verdict in 33 %" in said
    assert "('hello" not in said
    assert "hello.per_s go: win, loss" in said


def test_a_cell_that_one_run_lacks_is_no_agreement() -> None:
    one, other = hello([100], [50], [20]), hello([100], [50], [20])
    del other.columns["hocket"]
    said = agreement(one, other)
    assert said.startswith("3 cells: the same verdict in 67 %")
    assert "hello.per_s hocket: loss, not measured" in said
    other.kind = "quick"
    with pytest.raises(UsageError, match="a full run and a quick run cannot agree"):
        agreement(one, other)


def test_a_stop_that_fork_has_swallowed_is_remembered() -> None:
    with stoppable() as stop:
        stop.check()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert signal.getsignal(signal.SIGINT) is not stop


def test_a_run_that_lacks_a_column_has_rows_without_it() -> None:
    found: Results = hello([100], [50], [20])
    del found.columns["go"]
    (row,) = rows(found, SCENARIOS)
    assert set(row.cells) == {"node", "hocket"}
