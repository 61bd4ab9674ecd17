"""The report: Hocket's losses first, every claim with a verdict, a page that needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hocket.errors import UsageError
from hocket.versus import claims, command, mistakes
from hocket.versus.aspects import table as aspects
from hocket.versus.cells import rows
from hocket.versus.claims import verdict
from hocket.versus.consulting import STORED
from hocket.versus.figures import Figures, known, places
from hocket.versus.platforms import PLATFORMS
from hocket.versus.results import load
from hocket.versus.scenario import ALL
from hocket.versus.scenarios import SCENARIOS
from hocket.versus.summary import disturbances, losses
from tests.unit.versus.reports import hello, results, stored, written

ROWS = {f"{name}.{key}" for name, scenario in SCENARIOS.items() for key in scenario.measures}
FULL = load(STORED)


class Outside(HTMLParser):
    """What a page asks of others, and which tags it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        link = given.get("src") or given.get("href") or given.get("xlink:href") or ""
        if tag in ("script", "iframe", "img", "object") or "//" in link:
            self.asked.append(f"{tag} {link}")
        if tag not in ("meta", "link", "br", "path", "use", "rect", "stop", "image"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use", "rect", "stop", "image"):
            assert self.open.pop() == tag


def test_the_page_needs_nothing_else() -> None:
    page = command.html(FULL)
    outside = Outside()
    outside.feed(page)
    assert outside.asked == []
    assert outside.open == []
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "<svg" in page


def test_what_comes_with_hocket_is_the_full_run_that_is_kept() -> None:
    kept = Path(__file__).parents[3] / "benchmarks/results/versus-full.json"
    assert kept.read_bytes() == STORED.read_bytes()
    assert (FULL.kind, set(FULL.columns) >= set(ALL)) == ("full", True)


def test_where_hocket_loses_comes_first() -> None:
    for text in (command.html(FULL), command.markdown(FULL)):
        assert text.index("Where Hocket loses") < text.index("Head to head")
    assert {each.row.key for each in losses(list(rows(FULL, SCENARIOS)), "hocket")} >= {
        "start.warm_ms",
        "cpu.resize_per_s",
    }


def test_losses_are_told_with_the_worst_first() -> None:
    found = results(
        {
            "hello": {"go": [{"per_s": 300}], "hocket": [{"per_s": 100}]},
            "echo": {"go": [{"per_s": 900}], "hocket": [{"per_s": 100}]},
        }
    )
    first, second = losses(list(rows(found, SCENARIOS)), "hocket")
    assert (first.row.key, second.row.key) == ("echo.per_s", "hello.per_s")
    assert "Go 900, Hocket 100 /s, 9.0 times (echo.per_s)" in first.text()


def test_a_loss_against_nothing_is_no_infinite_one() -> None:
    found = results(
        {
            "types": {"go": [{"running": 0}], "hocket": [{"running": 2}]},
            "hello": {"go": [{"per_s": 300}], "hocket": [{"per_s": 100}]},
        }
    )
    first, second = losses(list(rows(found, SCENARIOS)), "hocket")
    assert (first.row.key, second.row.key) == ("hello.per_s", "types.running")
    assert second.text().endswith("Go 0, Hocket 2 (types.running)")


def test_every_claim_has_a_row_and_a_verdict() -> None:
    ledger = claims.ledger(stored())
    assert [claim.number for claim in ledger] == list(range(1, 33))
    for claim in ledger:
        assert claim.verdict.partition(":")[0] in ("measured", "sourced", "judgement", "wrong")
        assert claim.verdict != "sourced" or claim.sources
        assert not claim.verdict.startswith("measured") or claim.cells
        assert set(claim.cells) <= ROWS


def test_sentences_name_rows_and_platforms_that_there_are() -> None:
    texts = [each["finding"] for each in claims.table()]
    texts += [each[key] for each in aspects() for key in ("go", "node", "hocket")]
    named = [place for text in texts for place in places(text)]
    assert {key for key, _ in named} <= ROWS
    assert all(known(platform) for _, platform in named)
    compared = [side for each in claims.table() for rule in each.get("holds", ())
                for side in re.split(" [<>] ", rule)]  # fmt: skip
    for side in compared:
        key, colon, platform = side.partition(":")
        assert (key in ROWS and platform in PLATFORMS) if colon else float(side)


@pytest.mark.parametrize(
    ("go", "said"),
    [
        (400, "measured: true"),
        (200, "measured: in part"),
        (50, "measured: not so here"),
    ],
)
def test_a_measured_claim_is_true_in_part_or_not(go: float, said: str) -> None:
    figures = Figures(rows(hello([go], [100], [300]), SCENARIOS))
    holds = ["hello.per_s:go > hello.per_s:node", "hello.per_s:go > hello.per_s:hocket"]
    assert verdict({"verdict": "measured", "holds": holds}, figures) == said
    holds = ["hello.per_s:go > start.warm_ms:go"]
    assert verdict({"verdict": "measured", "holds": holds}, figures) == "measured: not in this run"
    assert verdict({"verdict": "wrong"}, figures) == "wrong"


def test_a_claim_about_a_tie_is_neither_true_nor_wrong() -> None:
    figures = Figures(rows(hello([100, 110], [105], [300]), SCENARIOS))
    tie, true = "hello.per_s:go > hello.per_s:node", "hello.per_s:go > 50"
    assert verdict({"verdict": "measured", "holds": [tie]}, figures) == "measured: a tie here"
    assert verdict({"verdict": "measured", "holds": [tie, true]}, figures) == "measured: in part"


def test_what_hocket_did_not_come_through_is_its_first_loss() -> None:
    found = hello([300], [200], [100])
    found.fail("chat", "hocket", "40 deliveries did not come")
    for text in (command.html(found), command.markdown(found)):
        lost = text.partition("Where Hocket loses</h2>")[2] or text.partition("Hocket loses")[2]
        failed = lost.index("chat: Hocket did not come through: 40 deliveries did not come")
        assert failed < lost.index("hello.per_s")


def test_what_was_left_out_is_said() -> None:
    found = hello([1], [2], [3])
    found.missing["go"] = "go is not installed: sudo apt-get install golang"
    found.fail("echo", "node", "<broken>")
    page, text = command.html(found), command.markdown(found)
    assert "Go is left out: go is not installed" in page
    assert "No figures of Node.js in echo: &lt;broken&gt;" in page
    assert "Go is left out: go is not installed" in text


def test_a_run_of_no_length_is_not_called_disturbed() -> None:
    found = hello([1], [2], [3])
    found.machine["cores"] = 2
    found.disturbed = {"code": [7.7], "io": [0.4, 2.5]}
    (line,) = disturbances(found)
    assert line.endswith(": io (1 run, up to 0.4 cores).")
    found.disturbed = {"code": [7.7]}
    assert disturbances(found) == []


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    found = hello([1, 2], [3], [4])
    assert load(written(tmp_path, found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": 1}', '{"format": 99}', '{"format": 1, "kind": "full", "date": 1, '
     '"runs": {"hello": {"go": [{"per_s": "fast"}]}}}'],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "versus.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=str(path)):
        load(path)


def test_there_are_ten_mistakes_in_every_language() -> None:
    found = mistakes.table()
    assert len(found) == 10
    for mistake in found:
        assert {"title", "go", "js", "ts", "python"} <= set(mistake)
