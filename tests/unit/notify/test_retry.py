"""When a delivery is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hocket.notify.retry import ATTEMPTS, LONGEST, LONGEST_ASKED, SPREAD, delay, spread


def test_it_doubles_up_to_an_hour() -> None:
    assert [delay(tries, 1.0) for tries in (1, 2, 3, 11, 12, 13, 40)] == [
        1.0, 2.0, 4.0, 1024.0, 2048.0, 3600.0, 3600.0,
    ]  # fmt: skip
    assert 3_600 < sum(delay(tries, 0.5) for tries in range(1, ATTEMPTS)) < 14_400


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_full_jitter(tries: int, chance: float) -> None:
    assert 0 <= delay(tries, chance) <= LONGEST
    assert delay(tries, chance) == chance * delay(tries, 1.0)


@given(st.integers(1, 16), st.floats(0, 1), st.floats(allow_nan=False))
def test_what_the_provider_asks_for_is_the_least(tries: int, chance: float, after: float) -> None:
    asked = min(max(after, 0.0), LONGEST_ASKED)
    backed_off = delay(tries, chance)
    assert max(asked, backed_off) <= delay(tries, chance, after) <= max(asked * 1.1, backed_off)
    assert delay(tries, chance, 0.0) == backed_off


def test_after_a_pause_they_come_back_one_after_the_other() -> None:
    assert [spread(2.0, chance / 4) for chance in range(5)] == [2.0, 2.5, 3.0, 3.5, 4.0]
    assert spread(0.01, 1.0) == 1.01
    assert spread(3_600.0, 1.0) == 3_600.0 + SPREAD
