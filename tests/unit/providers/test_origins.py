"""When a server that users brought along is left alone, and for how long."""

from __future__ import annotations

from hocket.notify.retry import LONGEST_PAUSE, PAUSE
from hocket.providers.origins import PATIENCE, TRYING, Origins


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


def test_one_request_tries_a_silent_server_when_its_pause_is_over() -> None:
    clock = Clock()
    origins = Origins(clock)
    for _ in range(PATIENCE):
        origins.silent("x")
    clock.now += PAUSE
    assert origins.pause_of("x") is None
    for _ in range(100):  # the others
        assert left(origins) == 2 * PAUSE
    origins.silent("x")
    clock.now += 2 * PAUSE
    assert origins.pause_of("x") is None
    clock.now += TRYING  # it has ended otherwise, unsent maybe
    assert origins.pause_of("x") is None
    assert left(origins) == 4 * PAUSE
    origins.answered("x")
    assert [origins.pause_of("x") for _ in range(3)] == [None] * 3


def test_an_answer_that_comes_late_ends_no_pause() -> None:
    clock = Clock()
    origins = Origins(clock)
    origins.busy("x", 60.0)
    origins.answered("x")
    assert left(origins) == 60.0
    clock.now += 60.0
    assert left(origins) == 0


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
