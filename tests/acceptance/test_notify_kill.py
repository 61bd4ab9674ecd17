"""The campaign `notify_kill` in small; CONTRIBUTING.md says how to run it in full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from campaigns.notify_kill import ROLES, Size, judge, run

pytest.importorskip("aiohttp", reason="the extra `push` is not installed")


@pytest.mark.slow
def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    size = Size(devices=300, kills=len(ROLES), every=0.6, pace=100.0)
    outcome = asyncio.run(run(size, tmp_path))
    assert [item for item in judge(outcome) if not item.ok] == []
    assert "internal error" not in (tmp_path / "log").read_text()
