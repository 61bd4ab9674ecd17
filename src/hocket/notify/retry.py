"""When a delivery that did not go through is tried again. Pure: the time and the chance are
arguments.

Exponential back-off with full jitter: a provider that was down is not met by everybody at once when
it is back. What a provider asks for (`Retry-After`) is the least that is waited: one that asks for
nothing, or has a wrong clock, would else have all tries in a moment.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 1.0  # seconds: the most that may pass before the second try
LONGEST: Final = 3_600.0  # seconds: the most that may pass between two tries
LONGEST_ASKED: Final = 86_400.0  # seconds: what a provider may ask for
SPREAD: Final = 60.0  # seconds: the most over which those who waited for a pause's end come back
PAUSE: Final = 2.0  # seconds of the first pause for a server that names no time
LONGEST_PAUSE: Final = 300.0  # seconds: the most that such a pause is
ATTEMPTS: Final = 16  # tries, over about two hours, after which a delivery has failed for good


def delay(attempts: int, chance: float, after: float | None = None) -> float:
    """Seconds until the next try.

    Args:
        attempts: how many there were, at least 1.
        chance: from 0 to 1, at random.
        after: seconds that the provider asked for, at the least; a little more is waited, so that
            not all who were told so come in the same moment.
    """
    backed_off = chance * min(LONGEST, FIRST * 2.0 ** min(attempts - 1, 30))
    asked = min(max(after or 0.0, 0.0), LONGEST_ASKED) * (1 + chance / 10)
    return max(asked, backed_off)


def pause(before: int) -> float:
    """Seconds of a pause that nobody named a time for, each twice as long as the one before.

    Args:
        before: such pauses in a row until now.
    """
    return float(min(LONGEST_PAUSE, PAUSE * 2.0 ** min(before, 30)))


def spread(pause: float, chance: float) -> float:
    """Seconds until a delivery comes back that had to wait for the end of a pause: over once more
    its time, so that who asked for it is not met by all of them at once.

    Args:
        pause: seconds that are left of it.
        chance: from 0 to 1, at random.
    """
    return pause + chance * min(max(pause, FIRST), SPREAD)
