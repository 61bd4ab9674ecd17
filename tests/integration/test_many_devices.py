"""However many devices a notification goes to, no more memory is needed: they are streamed."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from hocket import Audience, Notification
from hocket.providers.base import Delivered, Limits, Outcome, Push
from hocket.store.base import RegisterDevice
from tests.integration.test_deliveries import Pager, delivering
from tests.support import asynchronous

FEW, MANY = 1_000, 15_000
BATCH = 1_000


class Counting(Pager):
    """Remembers no push."""

    sent = 0

    async def send(self, push: Push) -> Outcome:
        self.sent += 1
        await asyncio.sleep(0)
        return Delivered()


async def peak(folder: Path, count: int) -> int:
    """Bytes, while as many devices are pushed to."""
    pager = Counting()
    pager.limits = Limits(concurrency=100)
    async with delivering(folder, pager) as site:
        store = site.app.store
        assert store is not None
        for at in range(0, count, BATCH):
            some = [RegisterDevice(f"u{n}", "pager", f"t{n}", 1.0) for n in range(at, at + BATCH)]
            await asyncio.gather(*[store.do(each) for each in some])
        tracemalloc.start()
        try:
            job = await site.app.notify(Audience.all(), Notification(title="x"))
            status = await job.wait(timeout=60)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (status.delivered, pager.sent) == (count, count)
    return most


@pytest.mark.slow
@asynchronous
async def test_memory_does_not_grow_with_the_devices(tmp_path: Path) -> None:
    few = await peak(tmp_path / "few", FEW)
    many = await peak(tmp_path / "many", MANY)
    assert many < 1.5 * few, f"{few} bytes for {FEW}, {many} for {MANY}"
