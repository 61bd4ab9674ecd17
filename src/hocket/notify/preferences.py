"""What a user's preferences say about one push: now, later, or not at all. Pure: the time is an
argument. What is said here is about devices; the store does the same for the inbox and for whoever
is connected (store/taste.py), which quiet hours do not concern.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from hocket.notify.model import Notification, Preferences, QuietHours
from hocket.store.taste import taste_of

_decoder: Final = msgspec.json.Decoder(Preferences)
_NONE: Final = Preferences()


def read_preferences(stored: bytes) -> Preferences:
    """Preferences as they are stored.

    Raises: ValueError that says what is wrong with them.
    """
    if stored == b"{}":
        return _NONE
    preferences = _decoder.decode(stored)
    zone(preferences.timezone)
    return preferences


def preferences_or_none(stored: bytes) -> Preferences:
    """As `read_preferences`; what cannot be read (of an older version, with a time zone that is
    gone) counts as none: a notification is not lost for it.
    """
    try:
        return read_preferences(stored)
    except ValueError:
        return _NONE


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises ValueError for one that is not known."""
    if name == "UTC":  # also where there is no time zone data
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"there is no time zone {name!r}") from None


def wants(preferences: Preferences, notification: Notification, channel: str) -> bool:
    """Whether the user wants it on this channel: what is said about its topic counts, else what is
    said about the channel; silence is yes. A critical one passes.
    """
    return taste_of(preferences, channel).wants(notification)


def quiet_until(preferences: Preferences, notification: Notification, now: float) -> float:
    """When the user's quiet hours end (seconds since 1970); 0: they are not now, or the
    notification is critical.
    """
    hours = preferences.quiet_hours
    if hours is None or notification.critical:
        return 0.0
    return end_of(hours, zone(preferences.timezone), now)


def end_of(hours: QuietHours, where: tzinfo, now: float) -> float:
    """When quiet hours end, 0 if they are not now. They are while the clock on the wall says so.

    So where a clock is set back over the end, they come twice; an end that is skipped as the clock
    is set forward comes as long after the change as it would have.
    """
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    here = datetime.fromtimestamp(now, where)
    clock = here.time()
    quiet = start <= clock < end if start <= end else clock >= start or clock < end
    if not quiet:
        return 0.0
    day = here.date() if clock < end else here.date() + timedelta(days=1)
    ends = datetime.combine(day, end, where)
    first, second = (ends.replace(fold=fold).timestamp() for fold in (0, 1))
    return first if first > now else max(second, now)
