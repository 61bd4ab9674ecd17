"""Ports for programs that cannot bind port 0 and say which one they got."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved(count: int) -> Iterator[list[int]]:
    """Ports of 127.0.0.1 that nobody else gets while the block runs.

    Each is bound, but listens to nothing: Linux gives it to nobody who asks for any port, and lets
    a program bind it by its number (both with SO_REUSEADDR, as every server does).
    """
    with ExitStack() as stack:
        held = [stack.enter_context(sockets.socket()) for _ in range(count)]
        for each in held:
            each.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in held]
