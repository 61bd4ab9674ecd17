"""What a user's preferences say, also where clocks are set forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.notify.model import Notification, Preferences, QuietHours
from hocket.notify.preferences import (
    end_of,
    preferences_or_none,
    quiet_until,
    read_preferences,
    wants,
    zone,
)

NIGHT = QuietHours(start="22:00", end="07:00")
NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("topics", "channels", "topic", "channel", "wanted"),
    [
        ({}, {}, "", "fcm", True),
        ({}, {"fcm": False}, "", "fcm", False),
        ({}, {"fcm": False}, "news", "apns", True),
        ({"news": {"fcm": False}}, {}, "news", "fcm", False),
        ({"news": {"fcm": False}}, {}, "sports", "fcm", True),
        ({"news": {"fcm": True}}, {"fcm": False}, "news", "fcm", True),
        ({"news": {"apns": True}}, {"fcm": False}, "news", "fcm", False),
        ({}, {}, "", "pager", True),  # a provider of one's own
    ],
)
def test_topic_and_channel(
    topics: Any, channels: Any, topic: str, channel: str, wanted: bool
) -> None:
    preferences = Preferences(topics=topics, channels=channels)
    assert wants(preferences, Notification(topic=topic), channel) is wanted
    assert wants(preferences, Notification(topic=topic, critical=True), channel)


def at(text: str, where: ZoneInfo, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=where, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-01-10T21:59", None),
        ("2026-01-10T22:00", "2026-01-11T07:00"),
        ("2026-01-11T00:00", "2026-01-11T07:00"),
        ("2026-01-11T06:59", "2026-01-11T07:00"),
        ("2026-01-11T07:00", None),
        ("2026-12-31T23:00", "2027-01-01T07:00"),
        ("2026-03-07T23:00", "2026-03-08T07:00"),  # an hour shorter: forward at 2
        ("2026-10-31T23:00", "2026-11-01T07:00"),  # an hour longer: back at 2
    ],
)
def test_over_midnight(now: str, end: str | None) -> None:
    wanted = at(end, NEW_YORK) if end else 0.0
    assert end_of(NIGHT, NEW_YORK, at(now, NEW_YORK)) == wanted


def test_by_day_and_never() -> None:
    day = QuietHours(start="09:00", end="17:30")
    assert end_of(day, UTC, 9 * 3600.0) == 17.5 * 3600
    assert end_of(day, UTC, 17.5 * 3600) == 0.0
    assert end_of(QuietHours(start="08:00", end="08:00"), UTC, 8 * 3600.0) == 0.0


def test_an_end_that_the_clock_skips() -> None:
    hours = QuietHours(start="22:00", end="02:30")  # Berlin goes from 2 to 3 on 29 March
    end = end_of(hours, BERLIN, at("2026-03-29T01:00", BERLIN))
    assert datetime.fromtimestamp(end, BERLIN).strftime("%H:%M") == "03:30"


def test_an_end_that_comes_twice() -> None:
    hours = QuietHours(start="22:00", end="02:30")  # Berlin goes from 3 to 2 on 25 October
    first = end_of(hours, BERLIN, at("2026-10-25T01:00", BERLIN))
    assert first == at("2026-10-25T02:30", BERLIN)
    assert end_of(hours, BERLIN, first) == 0.0
    second = end_of(hours, BERLIN, at("2026-10-25T02:10", BERLIN, fold=1))
    assert second == at("2026-10-25T02:30", BERLIN, fold=1) == first + 3600


minutes = st.integers(0, 1439).map(lambda at: f"{at // 60:02}:{at % 60:02}")


@given(
    minutes,
    minutes,
    st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata",
                     "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]),
    st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1)),
)  # fmt: skip
def test_quiet_hours_end_outside_of_them(start: str, end: str, name: str, day: datetime) -> None:
    hours, where = QuietHours(start=start, end=end), zone(name)
    now = day.replace(tzinfo=UTC).timestamp()
    ends = end_of(hours, where, now)
    clock = datetime.fromtimestamp(now, where).strftime("%H:%M")
    quiet = start <= clock < end if start <= end else clock >= start or clock < end
    assert (ends != 0.0) is quiet
    if ends:
        assert now < ends <= now + timedelta(hours=26).total_seconds()
        assert end_of(hours, where, ends) in (0.0, ends) or name != "UTC"


def test_a_critical_one_and_a_time_zone() -> None:
    preferences = Preferences(quiet_hours=NIGHT, timezone="Asia/Kolkata")
    now = at("2026-01-11T03:00", ZoneInfo("Asia/Kolkata"))
    assert quiet_until(preferences, Notification(), now) == now + 4 * 3600
    assert quiet_until(preferences, Notification(critical=True), now) == 0.0


@pytest.mark.parametrize(
    "stored",
    [
        b'{"timezone":"Mars/Olympus"}', b'{"timezone":"../../x"}', b'{"timezone":"Europe"}',
        b'{"timezone":"\\u0000"}', b'{"quiet_hours":{"start":"24:00","end":"07:00"}}', b"[]", b"{",
        b'{"channels":{"pigeon":true}}', b'{"more":1}',
        b'{"quiet_hours":{"start":"10:00\\n","end":"07:00"}}',
        '{"quiet_hours":{"start":"22:00","end":"0\u0667:00"}}'.encode(),  # 7 in Arabic
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_loses_nothing(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_preferences(stored)
    assert preferences_or_none(stored) == Preferences()


def test_what_is_right_is_read() -> None:
    preferences = Preferences(channels={"email": False}, quiet_hours=NIGHT, timezone="UTC")
    assert read_preferences(msgspec.json.encode(preferences)) == preferences
    assert read_preferences(b"{}") == Preferences()
