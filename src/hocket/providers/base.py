"""What a provider is: the way to one kind of device. One of your own is a class with these four:

class Pager:
    name = "pager"
    limits = Limits(concurrency=10)

    def check(self, token: str) -> str: ...
    async def send(self, push: Push) -> Outcome: ...
    async def close(self) -> None: ...

app.provider(Pager())
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Protocol

import msgspec


class Push(msgspec.Struct, frozen=True):
    """What one device is to get.

    `ttl`: seconds that are left; `collapse_key` is never empty, and the same whenever this push is
    repeated. `data`: the notification's, as JSON can hold it.
    """

    notification: str
    token: str
    user: str
    title: str
    body: str
    data: dict[str, Any]
    url: str
    icon: str
    ttl: int
    urgency: str
    collapse_key: str
    html: str = ""  # of a template, for email


class Delivered(msgspec.Struct, frozen=True):
    """The provider has taken it; `id` is its own for it."""

    id: str = ""


class Retry(msgspec.Struct, frozen=True):
    """Not now. `after`: seconds the provider asked for (Retry-After), None: back off. `pause`:
    nobody else is to be tried meanwhile either (429, no credentials). `tried`: False: nothing was
    sent, for its server is left alone for `after` seconds; it counts as no try.
    """

    error: str
    after: float | None = None
    pause: bool = False
    tried: bool = True


class Failed(msgspec.Struct, frozen=True):
    """Never for this push; the device is kept."""

    error: str


class Dead(msgspec.Struct, frozen=True):
    """The device is gone, by the provider's own word: it is pruned, unless it was registered after
    `since` (seconds since 1970; 0: now).
    """

    error: str
    since: float = 0.0


Outcome = Delivered | Retry | Failed | Dead


def checked(outcome: Any) -> Outcome:
    """The same, if it is one whose fields are what their types say: Python itself does not look.

    Raises: TypeError, ValueError, msgspec.ValidationError.
    """
    if not isinstance(outcome, Outcome):
        raise TypeError(f"{outcome!r:.80} is no Outcome")
    if not isinstance(outcome, Delivered):  # nearly all are, and nothing of it is used
        fields = msgspec.structs.asdict(outcome)
        msgspec.convert(fields, type(outcome))
        if any(isinstance(value, float) and not isfinite(value) for value in fields.values()):
            raise ValueError(f"{outcome!r:.80} has a number that is none")
    return outcome


class Limits(msgspec.Struct, frozen=True):
    """How hard a provider may be worked: pushes on their way at a time; pushes per second, None: no
    bound; seconds that one may take.
    """

    concurrency: int = 100
    rate: float | None = None
    timeout: float = 30.0


class Provider(Protocol):
    """See the page's top. `send` returns an Outcome and raises nothing that it expects: what it
    raises all the same counts as Retry, and is logged.
    """

    name: str
    limits: Limits

    def check(self, token: str) -> str:
        """A device's token as it is stored: whatever means the same gives the same string.

        Raises: ValueError that says what is wrong with it.
        """

    async def send(self, push: Push) -> Outcome:
        """One push to one device."""

    async def close(self) -> None:
        """No more pushes come."""
