"""What people say about notifications: Notification, Audience, Preferences. Plain data, checked by
msgspec wherever it comes from: Python, REST, the store.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Urgency = Literal["very-low", "low", "normal", "high"]
Channel = Literal["inbox", "live", "webpush", "fcm", "apns", "webhook", "email"]

WEEKS: int = 2_419_200  # seconds: four weeks, the longest that FCM and Web Push keep a message


class Digest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several notifications of one `key`, all of one topic and critical or not, inside `window`
    seconds become one push, with `title` of its own (`{count}` stands for how many); the inbox has
    each of them.
    """

    key: Name
    window: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    title: Text = "{count} new notifications"


class Notification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told.

    `ttl`: seconds in which it must reach a device; of a digest, once its window has ended.
    `collapse_key`: a later notification with the same one replaces this on a device; without it the
    notification's id is used, so that a resend replaces what it repeats. `send_at`: seconds since
    1970. `topic`: what users switch on and off in their preferences. `critical`: passes preferences
    and quiet hours. `template`: a template's name, with `variables`; then title and body may be
    empty.
    """

    title: Text = ""
    body: Text = ""
    data: dict[str, Any] = {}
    url: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    icon: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    ttl: Annotated[int, msgspec.Meta(ge=0, le=WEEKS)] = WEEKS
    urgency: Urgency = "normal"
    collapse_key: Annotated[str, msgspec.Meta(max_length=64)] = ""
    send_at: Annotated[float, msgspec.Meta(ge=0, le=32_503_680_000)] = 0.0
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    critical: bool = False
    template: Annotated[str, msgspec.Meta(max_length=200)] = ""
    variables: dict[str, Any] = {}
    digest: Digest | None = None


class Audience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom it is for: `Audience.all()`, `Audience.users("ada", "bob")`, `Audience.topic("news")`,
    or several of them joined with `|`: whoever is in any.
    """

    all_users: bool = msgspec.field(name="all", default=False)
    user_ids: tuple[Name, ...] = msgspec.field(name="users", default=())
    topics: tuple[Name, ...] = ()

    @classmethod
    def all(cls) -> Audience:
        """Every user that the server has seen."""
        return cls(all_users=True)

    @classmethod
    def users(cls, *users: str) -> Audience:
        """These users (str)."""
        return cls(user_ids=users)

    @classmethod
    def topic(cls, *topics: str) -> Audience:
        """Whoever is in one of these topics (str)."""
        return cls(topics=topics)

    def __or__(self, other: Audience) -> Audience:
        return Audience(
            all_users=self.all_users or other.all_users,
            user_ids=self.user_ids + other.user_ids,
            topics=self.topics + other.topics,
        )


# `$` lets a newline follow, which the length does not; JSON Schema has no `\Z` (ECMA-262).
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pushes wait until the end. `start`, `end`: "HH:MM" in the user's time zone."""

    start: Clock
    end: Clock


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user wants. `topics`: by topic, by channel, on or off; what is not there is as
    `channels` says, or on. `quiet_hours` hold back pushes, not the inbox or what is live.
    `timezone`: an IANA name. `locale`: for templates.
    """

    topics: dict[Name, dict[Channel, bool]] = {}
    channels: dict[Channel, bool] = {}
    quiet_hours: QuietHours | None = None
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    locale: Annotated[str, msgspec.Meta(max_length=16)] = "en"
