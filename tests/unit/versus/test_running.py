"""Runs of the head-to-head: what a platform found before it failed is not lost."""

from __future__ import annotations

from pathlib import Path

from hocket.versus import command
from hocket.versus.making import Maker
from hocket.versus.processes import FailedError
from hocket.versus.progress import Lines
from hocket.versus.running import Plan, Run
from hocket.versus.scenario import Contest, Measure, Scenario, Values
from tests.unit.versus.reports import results


def overloaded(contest: Contest) -> Values:
    if contest.key == "go":
        raise FailedError("400 deliveries did not come", {"delivered_per_s": 100.0})
    if contest.key == "node":
        raise FailedError("the server ended with status 1")
    return {"delivered_per_s": 200.0, "p99_ms": 1.0}


def test_what_was_measured_before_a_failure_is_kept_and_the_reader_is_told(tmp_path: Path) -> None:
    measures = {"delivered_per_s": Measure("most"), "p99_ms": Measure("99 %")}
    scenario = Scenario("chat", "Chat", "How many?", measures, overloaded, repeats=2)
    run = Run(
        Plan([scenario], ["go", "node", "hocket"], quick=False),
        Maker(tmp_path),
        results({}),
        Lines(6),
    )
    run.measure()
    found = run.results.runs["chat"]
    assert found == {
        "go": [{"delivered_per_s": 100.0}],
        "hocket": [{"delivered_per_s": 200.0, "p99_ms": 1.0}] * 2,
    }
    text = command.markdown(run.results)
    assert "- Not all figures of Go in chat: 400 deliveries did not come" in text
    assert "- No figures of Node.js in chat: the server ended with status 1" in text
