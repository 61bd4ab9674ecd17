"""Channels, over real Unix sockets."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pytest

from hocket.broker.channel import LONGEST, Channel
from tests.support import asynchronous, eventually


class End:
    """One end of a channel, and what came."""

    def __init__(self, socket: sockets.socket, **how: Any) -> None:
        self.heard: list[bytes] = []
        self.files: list[list[int]] = []
        self.ends = 0
        self.full: list[bool] = []
        self.channel = Channel(
            asyncio.get_running_loop(),
            socket,
            self._keep,
            self._end,
            on_full=self.full.append,
            **how,
        )

    def _keep(self, data: bytes, files: list[int]) -> None:
        self.heard.append(data)
        self.files.append(files)

    def _end(self) -> None:
        self.ends += 1


@contextmanager
def pair(**how: Any) -> Iterator[tuple[End, End]]:
    one, other = [End(socket, **how) for socket in sockets.socketpair()]
    try:
        yield one, other
    finally:
        one.channel.close()
        other.channel.close()


@asynchronous
async def test_open_files_that_wait_make_a_channel_full() -> None:
    """They are what a process runs out of: their bytes are few."""
    with pair(limit=100_000) as (one, other):
        other.channel.hold()
        for _ in range(3_000):
            one.channel.send(b"x", [a_file(b"y")])
            one.channel.flush()
            if one.full:
                break
        assert one.full == [True]
        assert len(one.channel._queue) < 20
        other.channel.release()
        await eventually(lambda: one.full == [True, False] and not one.channel.pending)
        for files in other.files:
            os.close(files[0])


@asynchronous
async def test_what_is_too_long_for_the_other_side_ends_no_channel(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hocket.broker.channel.LONGEST", 1_000)
    with pair() as (one, other):
        fd = a_file(b"")
        one.channel.send(bytes(1_001), [fd])
        one.channel.send(b"short")
        await eventually(lambda: other.heard == [b"short"])
        assert not is_open(fd)
        assert "too long" in caplog.text


def a_file(text: bytes) -> int:
    """An open file to read `text` from."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def contents(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@asynchronous
async def test_messages_of_all_sizes_arrive_whole_and_in_order() -> None:
    with pair() as (one, other):
        chance = random.Random(5)
        sizes = [
            0,
            1,
            5,
            131_072,
            262_144,
            1_000_003,
            *(chance.randrange(400_000) for _ in range(50)),
        ]
        sent = [chance.randbytes(size) for size in sizes]
        for message in sent:
            one.channel.send(message)
        other.channel.send(b"the other way")
        await eventually(lambda: len(other.heard) == len(sent))
        assert other.heard == sent
        assert one.heard == [b"the other way"]
        assert one.channel.pending == 0


@asynchronous
async def test_files_arrive_with_their_message() -> None:
    with pair() as (one, other):
        sent = []
        for number in range(60):
            files = [a_file(b"%d-%d" % (number, each)) for each in range(number % 4)]
            one.channel.send(b"%d" % number + b"x" * (number * 3_000), files)
            sent.append(files)
        await eventually(lambda: len(other.heard) == 60)
        for number, files in enumerate(other.files):
            expected = [b"%d-%d" % (number, each) for each in range(number % 4)]
            assert [contents(fd) for fd in files] == expected
        arrived = set(chain.from_iterable(other.files))
        assert not any(is_open(fd) for fd in set(chain.from_iterable(sent)) - arrived)


@asynchronous
async def test_files_that_there_is_no_room_for_do_not_shift_those_of_others() -> None:
    with pair() as (one, other):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = [a_file(b"first"), a_file(b"second"), a_file(b"third")]
        filler = []
        highest = max(files) + 1
        try:
            one.channel.send(b"first", files[:1])
            one.channel.flush()
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            while True:
                filler.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            await eventually(lambda: len(other.heard) == 1)
        finally:
            for fd in filler:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        one.channel.send(b"second", files[1:2])
        one.channel.send(b"third", files[2:])
        await eventually(lambda: len(other.heard) == 3)
        assert other.files[0] == []
        assert [contents(fd) for fd in other.files[1] + other.files[2]] == [b"second", b"third"]


@asynchronous
async def test_the_other_side_going_is_told_once_and_what_waits_is_closed() -> None:
    with pair() as (one, other):
        file = a_file(b"")
        one.channel.send(b"x" * 10_000_000)
        one.channel.send(b"", [file])
        other.channel.close()
        await eventually(lambda: one.ends == 1)
        assert not is_open(file)
        late = a_file(b"")
        one.channel.send(b"late", [late])
        assert not is_open(late)
        await asyncio.sleep(0.01)
        assert (one.ends, other.ends) == (1, 0)


@asynchronous
async def test_who_sends_too_much_is_told_when_to_stop_and_when_to_go_on() -> None:
    with pair(limit=1_000_000) as (one, other):
        other.channel.hold()
        sent = 0
        while not one.full:
            one.channel.send(b"x" * 100_000)
            sent += 1
            await asyncio.sleep(0)
        assert one.channel.full
        other.channel.release()
        await eventually(lambda: len(other.heard) == sent)
        assert one.full == [True, False]
        assert not one.channel.full


@asynchronous
async def test_a_full_channel_that_ends_holds_nobody_up() -> None:
    with pair(limit=1_000) as (one, other):
        other.channel.hold()
        one.channel.send(b"x" * 10_000_000)
        other.channel.close()
        await eventually(lambda: one.ends == 1)
        assert one.full == [True, False]


@pytest.mark.parametrize("bad", [(LONGEST + 1).to_bytes(4, "little") + b"\0"])
@asynchronous
async def test_what_is_no_message_ends_it(bad: bytes) -> None:
    ours, theirs = sockets.socketpair()
    end = End(ours)
    theirs.send(bad)
    await eventually(lambda: end.ends == 1)
    theirs.close()


@asynchronous
async def test_a_message_that_nobody_could_take_is_not_handed_on_again(caplog: Any) -> None:
    with pair() as (one, other):
        keep = other.channel._received

        def received(data: bytes, files: list[int]) -> None:
            keep(data, files)
            if data == b"bad":
                raise ValueError("no message of ours")

        other.channel._received = received
        for message in (b"first", b"bad", b"second"):
            one.channel.send(message)
        await eventually(lambda: len(other.heard) >= 3)
        one.channel.send(b"third")
        await eventually(lambda: len(other.heard) >= 4)
        assert other.heard == [b"first", b"bad", b"second", b"third"]
        assert "no message of ours" in caplog.text


@asynchronous
async def test_a_half_read_message_goes_on_with_its_files() -> None:
    with pair() as (one, other):
        other.channel.hold()
        message = bytes(150_000)
        one.channel.send(message, [a_file(b"here")])
        one.channel.flush()
        other.channel._readable()
        left = other.channel.detach()
        assert left.received
        successor = End(sockets.socket(fileno=left.fd))
        successor.channel.go_on(left.received, left.unsent, left.files)
        await eventually(lambda: successor.heard == [message])
        assert [contents(fd) for fd in successor.files[0]] == [b"here"]
        successor.channel.close()


@asynchronous
async def test_the_last_words_of_one_that_has_gone_are_heard() -> None:
    with pair(limit=1_000) as (one, other):
        file = a_file(b"")
        other.channel.send(b"last words")
        other.channel.flush()
        other.channel.close()
        one.channel.send(b"x" * 10_000, [file])
        one.channel.flush()
        late = a_file(b"")
        one.channel.send(b"late", [late])
        assert not any(map(is_open, (file, late)))
        await eventually(lambda: one.ends == 1)
        assert one.heard == [b"last words"]
        assert one.full == [True, False]
