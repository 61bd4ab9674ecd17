"""The cork: what leaves when, and in how many writes."""

from __future__ import annotations

from collections.abc import Iterable

from hocket.hub.cork import MOST, Cork


class Wires:
    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self.scheduled = 0
        self.cork: Cork[str] = Cork(self.write, self.schedule)

    def write(self, held: Iterable[tuple[str, bytes]]) -> None:
        self.written += held

    def schedule(self) -> None:
        self.scheduled += 1


def test_a_turn_is_one_write_for_each_endpoint() -> None:
    wires = Wires()
    for end, data in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        wires.cork.put(end, data)
    assert (wires.written, wires.scheduled) == ([], 1)
    wires.cork.flush()
    assert wires.written == [("a", b"13"), ("b", b"2")]
    wires.cork.flush()
    assert len(wires.written) == 2


def test_the_next_turn_is_scheduled_anew() -> None:
    wires = Wires()
    wires.cork.put("a", b"1")
    wires.cork.flush()
    wires.cork.put("a", b"2")
    assert wires.scheduled == 2


def test_more_than_is_held_back_leaves_at_once() -> None:
    wires = Wires()
    wires.cork.put("a", bytes(MOST))
    assert wires.written == []
    wires.cork.put("a", b"1")
    assert wires.written == [("a", bytes(MOST) + b"1")]
    wires.cork.flush()
    assert len(wires.written) == 1


def test_release_writes_what_is_held_for_one() -> None:
    wires = Wires()
    wires.cork.put("a", b"1")
    wires.cork.put("b", b"2")
    wires.cork.release("b")
    wires.cork.release("c")
    assert wires.written == [("b", b"2")]
    wires.cork.flush()
    assert wires.written == [("b", b"2"), ("a", b"1")]


def test_what_is_put_while_it_flushes_waits_for_the_next_turn() -> None:
    wires = Wires()

    def write(held: Iterable[tuple[str, bytes]]) -> None:
        for each in held:
            wires.write([each])
            cork.put("b", b"x")

    cork: Cork[str] = Cork(write, wires.schedule)
    cork.put("a", b"1")
    cork.flush()
    assert (wires.written, wires.scheduled) == ([("a", b"1")], 2)
