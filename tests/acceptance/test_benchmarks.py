"""That the benchmarks still run; how fast anything is, no test asks."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import ROOT, environment

SCENARIOS = [
    *("broadcast", "head", "connect", "echo", "start", "busy", "timer", "sse"),
    *("broadcast50k", "storm", "rooms", "fairness", "overload", "silent", "pauses", "notify50k"),
    "apps",
]

PUSHES = {"webpush": "nginx", "apns": "nghttpd", "fcm": "nginx", "webhook": "nginx"}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_runs_from_end_to_end(scenario: str, tmp_path: Path) -> None:
    flags = ["--quick", "--peers", "c,hocket", "--repeats", "1", "--results", str(tmp_path)]
    done = bench(scenario, *flags)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{scenario}.md").read_text()
    head, _, first, *_ = page[page.index("| |") :].splitlines()
    assert re.search(r"\| Hocket[^|]*\|$", head)
    assert re.search(r"\| [0-9.]+ \|$", first), page


@pytest.mark.slow
@pytest.mark.parametrize("name", PUSHES)
def test_pushes_are_measured(name: str, tmp_path: Path) -> None:
    if shutil.which(PUSHES[name]) is None:
        pytest.skip(f"there is no {PUSHES[name]}")
    done = bench(name, "--quick", "--peers", "bare,hocket", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{name}.md").read_text()
    assert re.search(r"\| pushes per second and core \|.* [0-9]+ \|\n", page), page


@pytest.mark.slow
def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "echo", "--quick", "--peers", "hocket"]
    command += ["--repeats", "100", "--results", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        lines = []
        for line in running.stderr:
            lines.append(line)
            if line.startswith("echo 1/100"):  # complete: the second run begins
                running.send_signal(signal.SIGINT)
    assert running.returncode == 130
    assert not any(line.startswith("echo 3/100") for line in lines), lines
    assert lines[-1].endswith("stopped\n"), lines


def test_what_is_none_of_the_scenarios() -> None:
    done = bench("dance")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'dance' is none of broadcast, head," in done.stderr
