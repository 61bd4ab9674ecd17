"""What a store has to know of preferences: which notifications a user wants on one channel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import msgspec

NO_PREFERENCES: Final = b"{}"


class Subject(Protocol):
    """What a wish is about."""

    @property
    def topic(self) -> str: ...

    @property
    def critical(self) -> bool: ...


class Taste(NamedTuple):
    """A user's, on one channel: on or off by topic, and for all `others`."""

    topics: Mapping[str, bool]
    others: bool

    def wants(self, subject: Subject) -> bool:
        """A critical one passes."""
        return subject.critical or self.topics.get(subject.topic, self.others)


class _Preferences(msgspec.Struct, frozen=True):
    topics: dict[str, dict[str, bool]] = {}
    channels: dict[str, bool] = {}


class _Subject(msgspec.Struct, frozen=True):
    topic: str = ""
    critical: bool = False


_preferences: Final = msgspec.json.Decoder(_Preferences)
subject_of: Final = lru_cache(maxsize=1024)(msgspec.json.Decoder(_Subject).decode)


def taste_of(preferences: Any, channel: str) -> Taste:
    """What is said about a topic on the channel counts, else what is said about the channel;
    silence is yes. `preferences` has `topics` and `channels`.
    """
    said = {topic: on[channel] for topic, on in preferences.topics.items() if channel in on}
    return Taste(said, preferences.channels.get(channel, True))


def choosy(preferences: bytes, channel: str) -> Taste | None:
    """The taste of somebody who does not want everything on the channel; None: that is nobody, or
    the preferences (JSON) cannot be read.
    """
    if preferences == NO_PREFERENCES:
        return None
    try:
        taste = taste_of(_preferences.decode(preferences), channel)
    except msgspec.MsgspecError:
        return None
    return None if taste.others and all(taste.topics.values()) else taste
