"""The process that pushes to devices. It runs the user's command, because providers and templates
of one's own live there, but none of its `on_startup`: that is for those who have clients.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from hocket.instance.control import AnyMessage, Open, Retire, Took
from hocket.instance.member import Member

# What clients are told live does not wait for pushes, which take the network's time anyway: where
# the cores are few, workers come first.
NICE: Final = 15


class DeliveryMember(Member):
    """Delivers. At a reload, the old one finishes while the new one begins: a lease is only one's
    own.
    """

    async def begin(self) -> None:
        with contextlib.suppress(OSError):
            os.nice(NICE)
        await super().begin()
        if self.worker.keeping is not None:
            self.worker.keeping.deliver(self.worker.settings)

    def told(self, message: AnyMessage, files: list[int]) -> None:
        if isinstance(message, Open):
            self.say(Took())
        elif isinstance(message, Retire):
            self.end.set()
