"""What the senders of the push scenarios share: work for some tasks, and one line of figures."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator

Send = Callable[[int], Awaitable[None]]

TEXT = {
    "title": "The kettle boils",
    "body": "Somebody should see to it before it boils over and the kitchen is full of steam.",
    "url": "https://example.com/kitchen",
}


def subscriptions(count: int, endpoint: str) -> Iterator[dict[str, object]]:
    """Browsers' subscriptions, each with a key of its own, at one push service."""
    from cryptography.hazmat.primitives.asymmetric.ec import (
        SECP256R1,
        generate_private_key,
    )  # lazy: only this sender needs it
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
    )  # lazy: only this sender needs it

    for number in range(count):
        point = (
            generate_private_key(SECP256R1())
            .public_key()
            .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        )
        keys = {
            "p256dh": urlsafe_b64encode(point).rstrip(b"=").decode(),
            "auth": urlsafe_b64encode(number.to_bytes(16, "big")).rstrip(b"=").decode(),
        }
        yield {"endpoint": f"{endpoint}/push/{number}", "keys": keys}


async def measure(send: Send, count: int, tasks: int) -> None:
    """Send `count` times with so many on their way, after a tenth of it to warm up; figures."""
    await _all(send, count // 10, tasks)
    began, spent = time.perf_counter(), time.process_time()
    await _all(send, count, tasks)
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    figures = {"per_s": count / seconds, "cpu_us": cpu / count * 1e6, "pushes": count}
    print(json.dumps(figures), flush=True)


async def _all(send: Send, count: int, tasks: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await send(number)

    await asyncio.gather(*[work() for _ in range(tasks)])


def arguments() -> tuple[str, str, int, int]:
    """What is pushed (webpush, apns, fcm, webhook), where to, how often, how many at a time."""
    kind, url, count, tasks = sys.argv[1:5]
    return kind, url, int(count), int(tasks)


def run(main: Callable[[], Awaitable[None]]) -> None:
    import uvloop  # lazy: as above

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]
