"""Users are made known in batches, and one that cannot be costs no other batch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hocket.notify.introductions import Introductions
from hocket.store import base
from tests.memory_store import MemoryStore
from tests.support import asynchronous


class Choosy(MemoryStore):
    """Raises what no store should for a batch with a name that is not text."""

    async def do(self, operation: base.Operation[Any]) -> Any:
        if isinstance(operation, base.SeeUsers):
            "".join(operation.users).encode()
        return await super().do(operation)


@asynchronous
async def test_a_name_that_the_store_cannot_take() -> None:
    introductions = Introductions(Choosy(), asyncio.ensure_future)
    bad = asyncio.ensure_future(introductions.introduce("\ud800"))
    beside = asyncio.ensure_future(introductions.introduce("ada"))
    for refused in (bad, beside):
        with pytest.raises(UnicodeEncodeError):
            await refused
    assert (await introductions.introduce("ada")).number == 1
    assert (await introductions.introduce("bob")).number == 2
