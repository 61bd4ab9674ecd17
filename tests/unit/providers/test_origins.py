"""When a server that users brought along is left alone, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from hocket.notify.retry import LONGEST_PAUSE, PAUSE
from hocket.providers import origins as module
from hocket.providers.base import Retry
from hocket.providers.origins import PATIENCE, ROOM, Origins
from hocket.providers.outbound import Answer, UnreachableError
from tests.support import asynchronous, eventually, turns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def left(origins: Origins) -> float:
    pause = origins.pause_of("x")
    return 0.0 if pause is None or pause.after is None else pause.after


def test_each_pause_is_twice_as_long() -> None:
    clock = Clock()
    origins = Origins(clock)
    for _ in range(PATIENCE - 1):
        origins.silent("x")
    assert left(origins) == 0
    pauses = []
    for _ in range(12):
        origins.silent("x")
        pauses.append(left(origins))
        clock.now += pauses[-1]
        assert left(origins) == 0
    origins.busy("x", 5.0)
    pause = origins.pause_of("x")
    assert pause is not None
    assert not pause.tried, "nothing is sent meanwhile"
    clock.now += 5.0
    assert pauses == [min(PAUSE * 2**n, LONGEST_PAUSE) for n in range(12)]
    origins.answered("x")
    origins.silent("x")
    assert left(origins) == 0


def test_all_that_was_on_its_way_is_one_silence() -> None:
    """A receiver that is started again resets a hundred requests, and is back a moment later."""
    origins = Origins(Clock())
    for _ in range(100):
        origins.silent("x")
    assert left(origins) == PAUSE


def test_a_pause_that_was_asked_for_is_kept() -> None:
    clock = Clock()
    origins = Origins(clock)
    origins.busy("x", 60.0)
    origins.silent("x")
    origins.busy("x", 5.0)
    assert left(origins) == 60.0
    clock.now += 60.0
    assert left(origins) == 0


def test_a_pause_of_no_length_is_twice_as_long_each_time() -> None:
    clock = Clock()
    origins = Origins(clock)
    pauses = []
    for asked in (None, 0.0, None):
        for _ in range(10):  # all that was on its way hears the same
            origins.busy("x", asked)
        pauses.append(left(origins))
        clock.now += pauses[-1]
    assert pauses == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    origins.answered("x")
    origins.busy("x", None)
    assert left(origins) == PAUSE


class Server:
    """Answers when it is told to. `asked`: how many have asked it, `most` at a time."""

    def __init__(self) -> None:
        self.asked = self.most = 0
        self._waiting: list[asyncio.Future[int]] = []

    async def post(self) -> Answer:
        self.asked += 1
        self._waiting.append(asyncio.get_running_loop().create_future())
        self.most = max(self.most, len(self._waiting))
        status = await self._waiting[-1]
        if not status:
            raise UnreachableError("nothing came")
        return Answer(status, {}, b"")

    async def answer(self, status: int, count: int) -> None:
        """The first so many; 0: without an answer."""
        for each in self._waiting[:count]:
            each.set_result(status)
        del self._waiting[:count]
        await turns(5)


async def ask(origins: Origins, server: Server, count: int) -> list[asyncio.Task[Answer | Retry]]:
    asking = [asyncio.create_task(origins.ask("x", server.post)) for _ in range(count)]
    await turns(5)
    return asking


def turned_away(asking: list[asyncio.Task[Answer | Retry]]) -> list[Retry]:
    outcomes = [each.result() for each in asking if each.done() and not each.exception()]
    return [each for each in outcomes if isinstance(each, Retry)]


@asynchronous
async def test_a_server_that_holds_its_answers_back_holds_ten_senders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOMENT", 0.01)
    clock, server = Clock(), Server()
    origins = Origins(clock)
    asking = await ask(origins, server, 30)
    await eventually(lambda: len(turned_away(asking)) == 20)
    assert server.asked == ROOM
    assert {(each.after, each.tried) for each in turned_away(asking)} == {(PAUSE, False)}
    monkeypatch.setattr(module, "MOMENT", 30.0)
    assert len(turned_away(await ask(origins, server, 5))) == 5, "nobody waits again"
    await server.answer(0, ROOM)
    assert left(origins) == PAUSE
    clock.now += PAUSE
    asking = await ask(origins, server, 30)
    assert (server.asked, len(turned_away(asking))) == (ROOM + 1, 29), "one to see"
    await server.answer(0, 1)
    assert left(origins) == 2 * PAUSE
    clock.now += 2 * PAUSE
    await ask(origins, server, 1)
    await server.answer(200, 1)
    again = await ask(origins, server, 5)
    await server.answer(200, 2)
    await server.answer(200, 3)
    assert turned_away(again) == []
    assert server.asked == ROOM + 7


@asynchronous
async def test_a_server_that_answers_has_soon_all_the_room_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOMENT", 30.0)
    server, origins = Server(), Origins(Clock())
    asking = await ask(origins, server, 150)
    for expected in (10, 20, 40, 80):
        assert server.most == expected
        await server.answer(200, expected)
    assert all(isinstance(each.result(), Answer) for each in asking)
    assert not origins._known, "nothing is remembered of it"


@asynchronous
async def test_a_late_answer_ends_no_pause() -> None:
    server, origins = Server(), Origins(Clock())
    await ask(origins, server, 2)
    await server.answer(429, 1)
    await server.answer(200, 1)
    assert left(origins) == PAUSE
