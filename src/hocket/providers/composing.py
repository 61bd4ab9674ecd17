"""From a claimed delivery to what is done about it now: a push, or the word that there is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from hocket.errors import HocketError
from hocket.notify.model import Notification, Preferences
from hocket.notify.preferences import preferences_or_none, quiet_until, wants
from hocket.notify.templates import digest_title
from hocket.providers.base import Push
from hocket.providers.content import short_key
from hocket.store.base import Claimed, Settled

if TYPE_CHECKING:
    from hocket.notify.templates import Templates

KEPT: Final = 256  # notifications, preferences and texts that are remembered as they were made


class Text(NamedTuple):
    """What a push says, in one language."""

    title: str
    body: str
    html: str = ""


# A notification, a locale, and how many of them a digest has made one of.
Render = Callable[[Notification, str, int], Text]


def plain(notification: Notification, locale: str, count: int) -> Text:
    """Without templates: a digest of several has a title of its own."""
    if notification.digest is not None and count > 1:
        title = digest_title(notification.digest.title, count)
        return Text(title, notification.title or notification.body)
    return Text(notification.title, notification.body)


def renderer(templates: Templates) -> Render:
    """As `plain`, for an app with templates."""

    def render(notification: Notification, locale: str, count: int) -> Text:
        if not notification.template:
            return plain(notification, locale, count)
        made = templates.render(notification.template, notification.variables, locale)
        if notification.digest is None or count == 1:
            return Text(made.title, made.body, made.html)
        title = digest_title(notification.digest.title, count)
        return Text(title, made.title or made.body)

    return render


class Composer:
    """Decides and composes. Nothing here waits.

    Args:
        render: what a notification says; raises HocketError.
    """

    def __init__(self, render: Render = plain) -> None:
        remember = lru_cache(maxsize=KEPT)
        self._content = remember(msgspec.json.Decoder(Notification).decode)
        self._preferences = remember(preferences_or_none)
        self._text = remember(
            lambda content, locale, count: render(self._content(content), locale, count)
        )

    def compose(self, claimed: Claimed, provider: str, now: float) -> Push | Settled:
        """What to send now, or how the delivery is settled without: expired, against the user's
        preferences, to be tried when the user's quiet hours are over.

        Args:
            now: seconds since 1970.
        """
        if claimed.expires_at <= now:
            return Settled(claimed.id, "expired", now)
        notification, preferences = self._content(claimed.content), self._of(claimed)
        if not wants(preferences, notification, provider):
            return Settled(claimed.id, "suppressed", now, "the user does not want it")
        if quiet := quiet_until(preferences, notification, now):
            return Settled(claimed.id, "retry", min(quiet, claimed.expires_at))
        try:
            text = self._text(claimed.content, preferences.locale, 1 + len(claimed.merged))
        except HocketError as error:
            return Settled(claimed.id, "failed", now, f"{error}")
        return Push(
            notification=claimed.notification,
            token=claimed.token,
            user=claimed.user,
            title=text.title,
            body=text.body,
            data=notification.data,
            url=notification.url,
            icon=notification.icon,
            ttl=min(notification.ttl, int(claimed.expires_at - now)),
            urgency=notification.urgency,
            collapse_key=_collapse_key(claimed, notification),
            html=text.html,
        )

    def _of(self, claimed: Claimed) -> Preferences:
        return self._preferences(claimed.preferences)


def _collapse_key(claimed: Claimed, notification: Notification) -> str:
    """A digest replaces the one before it, whatever notification it came with; one of another topic
    is another digest.
    """
    digest, topic, critical = notification.digest, notification.topic, notification.critical
    if digest is None or notification.collapse_key:
        return claimed.collapse_key
    key = f"digest:{digest.key}"
    if topic or critical:
        return short_key(f"{key}:{topic}:{critical}", False, 64)
    return short_key(key, len(key) <= 64, 64)
