"""The systemd unit: systemd itself reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.fronts import DEPLOY, changed

ANALYZE = "systemd-analyze"
EXPOSED = 15  # tenths of 0 (best) to 10 (worst): what `systemd-analyze security` may find

pytestmark = pytest.mark.skipif(
    shutil.which(ANALYZE) is None, reason=f"there is no {ANALYZE} (Debian: apt install systemd)"
)


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The unit, with a program and a folder that are there."""
    changes = {
        "ExecStart=/opt/hocket/bin/hocket serve": f"ExecStart={sys.executable} -m hocket serve",
        "WorkingDirectory=/opt/hocket": f"WorkingDirectory={tmp_path}",
    }
    text = changed((DEPLOY / "systemd/hocket.service").read_text(), changes)
    file = tmp_path / "hocket.service"
    file.write_text(text)
    return str(file)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [ANALYZE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line(unit: str) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_hardened(unit: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSED}", unit)
    print(done.stdout.splitlines()[-1:])
    assert done.returncode == 0, done.stdout


def test_a_secret_is_needed(unit: str) -> None:
    """A dash would let it start without."""
    lines = Path(unit).read_text().splitlines()
    assert "EnvironmentFile=/etc/hocket.env" in lines
