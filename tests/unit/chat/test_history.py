"""What chat rooms remember."""

from __future__ import annotations

from itertools import count

from hocket.chat.history import LAST, History


def history(most: int) -> History:
    ids = count(1)
    return History(lambda: 1.5, lambda: str(next(ids)), most)


def test_a_room_remembers_the_last_messages() -> None:
    rooms = history(1 << 20)
    for number in range(LAST + 2):
        rooms.say("kitchen", "ada", str(number))
    kept = rooms.of("kitchen")
    assert [message.text for message in kept] == [str(number) for number in range(2, LAST + 2)]
    assert (kept[0].id, kept[0].user, kept[0].timestamp) == ("3", "ada", 1500)
    assert rooms.of("hall") == []


def test_the_room_that_was_silent_for_longest_is_forgotten_first() -> None:
    rooms = history(10_000)  # three messages of 3,000 bytes
    for room in ("kitchen", "hall", "kitchen", "attic"):
        rooms.say(room, "ada", "x" * 2_400)
    assert [len(rooms.of(room)) for room in ("kitchen", "hall", "attic")] == [2, 0, 1]


def test_what_is_forgotten_makes_room() -> None:
    """Any number of rooms, each said something in once, are within the bound, and so is one."""
    rooms = history(10_000)
    for number in range(1_000):
        rooms.say(f"room {number}", "ada", "x" * 2_400)
    assert sum(len(rooms.of(f"room {number}")) for number in range(1_000)) == 3
    for _ in range(LAST):
        rooms.say("kitchen", "ada", "x" * 2_400)
    assert len(rooms.of("kitchen")) == LAST
    assert rooms.of("room 999") == []
