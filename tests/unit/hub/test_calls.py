"""Calls: events that wait for acks, on a real loop whose time the test sets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine
from typing import Any

import pytest

from hocket.errors import CallTimeout, Disconnected
from hocket.hub.calls import ack_args, ack_value
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from tests.unit.hub.fakes import AsyncWorld, TimedLoop, handlers, outcome, run_timed, turns


def ids(world: AsyncWorld, socket: Socket) -> list[int]:
    """The ack ids that a client was asked to answer with."""
    found = [re.match(r"42(\d+)\[", packet) for packet in world.heard(socket)]
    return [int(match[1]) for match in found if match]


def answer(world: AsyncWorld, socket: Socket, id: int, *args: Any) -> None:
    world.say(socket, f"43{id}{json.dumps(args)}")


async def started(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(outcome(call))
    await turns()
    return task


def pending(socket: Socket) -> list[int]:
    return list(socket.calls or ())


@pytest.mark.parametrize(
    ("args", "value"),
    [([], None), ([1], 1), ([None], None), ([[1, 2]], [1, 2]), ([1, 2], (1, 2)), ([0], 0)],
)
def test_what_a_call_gives(args: list[Any], value: Any) -> None:
    assert ack_value(args) == value

    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        call = await started(socket.call("q", "x", timeout=5))
        assert world.heard(socket) == ['421["q","x"]']
        answer(world, socket, 1, *args)
        assert await call == value
        assert pending(socket) == []

    run_timed(test)


@pytest.mark.parametrize(
    ("result", "args"),
    [(None, []), (1, [1]), ((1, 2), [1, 2]), ([1, 2], [[1, 2]]), ((), []), (0, [0]), ("", [""])],
)
def test_what_an_ack_carries(result: Any, args: list[Any]) -> None:
    assert ack_args(result) == args


def test_nobody_answers_in_time() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        call = await started(socket.call("q", timeout=5))
        loop.now += 4.9
        await turns()
        assert not call.done()
        loop.now += 0.2
        await turns()
        error = await call
        assert isinstance(error, CallTimeout)
        assert isinstance(error, TimeoutError)
        assert "'q'" in str(error)
        assert pending(socket) == []

    run_timed(test)


def test_a_late_ack_and_one_that_nobody_waits_for_change_nothing() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        first = await started(socket.call("q", timeout=1))
        loop.now += 2
        await turns()
        assert isinstance(await first, CallTimeout)
        second = await started(socket.call("q", timeout=5))
        answer(world, socket, 1, "late")
        answer(world, socket, 77, "never asked")
        answer(world, socket, 0, "never asked")
        await turns()
        assert not second.done()
        answer(world, socket, 2, "right")
        answer(world, socket, 2, "twice")
        assert await second == "right"
        assert not socket.connection.closed

    run_timed(test)


def test_one_client_cannot_answer_for_another() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        one, two = world.connect(), world.connect()
        call = await started(one.call("q", timeout=5))
        answer(world, two, 1, "mine")
        await turns()
        assert not call.done()
        answer(world, one, 1, "right")
        assert await call == "right"

    run_timed(test)


def test_a_client_that_leaves_while_it_is_asked() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        for leave in (
            lambda socket: world.engine.close(socket.connection, "transport close"),
            lambda socket: world.say(socket, "41"),
            lambda socket: socket.disconnect(),
        ):
            socket = world.connect()
            call = await started(socket.call("q", timeout=5))
            leave(socket)
            assert isinstance(await call, Disconnected)
            assert isinstance(await outcome(socket.call("q", timeout=5)), Disconnected)
            assert pending(socket) == []

    run_timed(test)


def test_many_answers_are_collected_and_who_leaves_is_not_waited_for() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        one, two, three, out = (world.connect() for _ in range(4))
        for socket in (one, two, three, out):
            socket.join("a")
        target = Target(one.nsp, ("a",)).except_(out.id)
        call = await started(target.call("q", timeout=5))
        assert ids(world, out) == []
        answer(world, two, 1, 2, 3)
        answer(world, one, 1)
        await turns()
        assert not call.done()
        world.engine.close(three.connection, "transport close")
        assert await call == [(2, 3), None]

    run_timed(test)


def test_a_timeout_keeps_the_answers_that_came() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        one, two = world.connect(), world.connect()
        call = await started(Target(one.nsp).call("q", timeout=5))
        answer(world, two, 1, "two")
        loop.now += 6
        await turns()
        error = await call
        assert isinstance(error, CallTimeout)
        assert error.answers == ["two"]
        assert (pending(one), pending(two)) == ([], [])

    run_timed(test)


def test_a_call_to_nobody_is_answered_at_once() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        nsp = world.connect().nsp
        assert await Target(nsp, ("nobody",)).call("q", timeout=5) == []

    run_timed(test)


def test_a_cancelled_call_is_forgotten() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        call = asyncio.create_task(socket.call("q", timeout=5))
        await turns()
        assert pending(socket) == [1]
        call.cancel()
        await turns()
        assert call.cancelled()
        assert pending(socket) == []
        answer(world, socket, 1, "late")
        assert not socket.connection.closed

    run_timed(test)


@pytest.mark.parametrize(
    ("event", "argument", "error"), [("q", {1, object()}, TypeError), ("connect", 1, ValueError)]
)
def test_a_call_that_cannot_be_sent_leaves_nothing_behind(
    event: str, argument: Any, error: type[Exception]
) -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        assert isinstance(await outcome(socket.call(event, argument)), error)
        assert isinstance(await outcome(Target(socket.nsp).call(event, argument)), error)
        assert world.heard(socket) == []
        assert pending(socket) == []

    run_timed(test)


def test_a_call_within_connect_is_refused_for_its_own_client_only() -> None:
    async def test(loop: TimedLoop) -> None:
        errors: list[Any] = []

        async def connect(socket: Socket) -> None:
            errors.append(await outcome(socket.call("q", timeout=5)))
            errors.append(await outcome(Target(socket.nsp).call("q", timeout=5)))

        world = AsyncWorld(handlers(connect=connect))
        connection = world.transport.open()
        world.engine.receive_text(connection, b"40")
        await turns()
        assert isinstance(errors[0], RuntimeError)
        assert "connect handler" in str(errors[0])
        assert errors[1:] == [[]]
        assert connection.sockets[0].connected

    run_timed(test)


def test_a_binary_answer() -> None:
    async def test(loop: TimedLoop) -> None:
        world = AsyncWorld()
        socket = world.connect()
        call = await started(socket.call("q", timeout=5))
        world.say(socket, '461-1[{"_placeholder":true,"num":0}]')
        await turns()
        assert not call.done()
        world.engine.receive_binary(socket.connection, b"\x00\xff")
        assert await call == b"\x00\xff"

    run_timed(test)
