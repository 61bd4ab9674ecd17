"""Stands before the `connect` handlers: who connects to a namespace is asked who they are, and goes
when what they showed expires.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from hocket.errors import Denied
from hocket.hub.expiry import Expiry
from hocket.hub.handlers import Handler
from hocket.hub.hub import Hub
from hocket.hub.socket import Socket
from hocket.identity.authenticator import (
    Authenticator,
    Hook,
    as_refusal,
    make_source,
    make_tokens,
)
from hocket.identity.model import Identity
from hocket.settings import Settings


class Guard:
    """The first step of every `connect`: sets `socket.user`, or refuses.

    Args:
        authenticator: knows who somebody is.
        expiry: sends away whose token expires.
    """

    def __init__(self, authenticator: Authenticator, expiry: Expiry) -> None:
        self._authenticator = authenticator
        self._expiry = expiry

    def __call__(self, socket: Socket, auth: dict[str, Any]) -> Coroutine[Any, Any, None] | None:
        try:
            found = self._authenticator.identify(socket.handshake)
        except Denied as denied:
            raise as_refusal(denied) from None
        if isinstance(found, Coroutine):
            return self._admit_later(socket, found)
        self._admit(socket, found)
        return None

    async def _admit_later(self, socket: Socket, found: Coroutine[Any, Any, Identity]) -> None:
        try:
            self._admit(socket, await found)
        except Denied as denied:
            raise as_refusal(denied) from None

    def _admit(self, socket: Socket, identity: Identity) -> None:
        socket.user = identity.user
        if identity.expires:
            self._expiry.expect(socket.namespace, socket.id, identity.expires)


def attend(
    hub: Hub,
    settings: Settings,
    hook: Hook | None,
    trusts: Callable[[Mapping[str, str]], bool],
) -> Authenticator:
    """Ask everybody who connects to a hub, if a key or a function is there to ask by.

    Args:
        hook, trusts: see Authenticator.

    Raises: UsageError.
    """
    tokens = make_tokens(settings, make_source, hub.engine.loop.wall_clock)
    authenticator = Authenticator(tokens, hook, trusts, settings.token_cookie)
    if authenticator.asks:
        hub.expiry = Expiry(hub.engine, hub.namespaces, hub.engine.loop.clock())
        hub.guard = Handler(Guard(authenticator, hub.expiry))
    return authenticator
