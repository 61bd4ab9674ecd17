"""How fast a provider is worked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hocket.notify.pacing import BURST, Pacer


def test_without_a_rate_nobody_waits() -> None:
    pacer = Pacer(None)
    assert [pacer.take(now) for now in (0.0, 0.0, 5.0)] == [0.0, 0.0, 0.0]


def test_a_pause_is_for_all_and_the_longest_counts() -> None:
    pacer = Pacer(None)
    pacer.pause(10.0)
    pacer.pause(5.0)
    assert pacer.take(4.0) == 6.0
    assert pacer.is_paused(9.9)
    assert not pacer.is_paused(10.0)
    assert Pacer(10).take(0.0) == 0.0


@given(st.floats(0.5, 1000), st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_never_more_than_the_rate(rate: float, gaps: list[float]) -> None:
    pacer, now, leaves = Pacer(rate), 0.0, []
    for gap in gaps:
        now += gap
        leaves.append(now + pacer.take(now))
    assert leaves == sorted(leaves)
    for first, last in ((0, len(leaves) - 1), (len(leaves) // 2, len(leaves) - 1)):
        count = last - first
        assert count <= rate * (leaves[last] - leaves[first] + BURST) + 1e-6


def test_a_rate_goes_on_behind_a_pause() -> None:
    pacer = Pacer(10)
    pacer.pause(1.0)
    assert [round(pacer.take(0.0), 3) for _ in range(3)] == [1.0, 1.1, 1.2]
