"""What an app notifies with."""

from __future__ import annotations

from collections.abc import Callable

from hocket.notify.jobs import Job, Jobs
from hocket.notify.model import Audience, Notification
from hocket.notify.service import Notifications
from hocket.notify.templates import Templates
from hocket.store.base import Store


class Notifier:
    """Accepts notifications, and follows what was accepted.

    Args:
        store: where they are kept.
        wall_clock: seconds since 1970.
        templates: of the app.
    """

    def __init__(self, store: Store, wall_clock: Callable[[], float], templates: Templates) -> None:
        self.notifications = Notifications(store, wall_clock, templates.fill_in)
        self.jobs = Jobs(store, wall_clock)

    async def notify(self, audience: Audience, notification: Notification, key: str = "") -> Job:
        """See App.notify."""
        accepted = await self.notifications.accept(audience, notification, caller="app", key=key)
        return Job(accepted.id, self.jobs)
