"""That the campaigns still run and find nothing wrong; how fast anything is, no test asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from campaigns.runs import RUNS
from campaigns.verdict import at_most, exactly, show
from tests.integration.programs import ROOT, environment

SHORT = {
    "kill": "--clients 200 --workers 3 --minutes 0.1 --every 3",
    "supervisor": "--clients 100 --workers 2",
    "reload": "--clients 200 --workers 2 --reloads 2 --slow 3",
    "churn": "--clients 100 --rate 50 --minutes 0.05",
    "notify-kill": "--devices 300 --kills 4 --every 0.6 --pace 100",
}
TIMES = ("echo p99", "longest echo", "longest silence", "workers are gone", "back", "came and went")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_campaign(name: str) -> None:
    if name == "notify-kill":
        pytest.importorskip("aiohttp", reason="the extra `push` is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "campaigns", name, *SHORT[name].split()],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = [line for line in done.stdout.splitlines() if "  asked " in line]
    assert lines, done.stderr
    wrong = [line for line in lines if line.endswith("NOT OK")]
    assert [line for line in wrong if not any(time in line for time in TIMES)] == []
    assert done.returncode == bool(wrong)


def test_there_is_a_short_form_of_each() -> None:
    assert set(SHORT) == set(RUNS)


def test_what_falls_short_is_said() -> None:
    """One line that is not as asked, and the whole is not."""

    assert show("well", [exactly("one", 1, 1), at_most("two", 2.0, 1.9)])
    assert not show("not well", [exactly("one", 1, 1), at_most("two", 2.0, 2.1)])
