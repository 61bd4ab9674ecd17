"""Hocket with notifications: `go` is a plain broadcast to all, `large` notifies everybody; devices
are at a sink. `/prepare` registers them, `/wait` waits until the last job is settled and tells how
it went, `/inboxes` counts the users whose inbox has every notification once.

hocket_notify.py PORT --data DIR --sink PORT --users N [--processes N]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from asked import number, processes

from hocket import App, Audience, Job, Notification, Socket
from hocket.providers.base import Delivered, Limits, Outcome, Push, Retry
from hocket.store.base import Inbox, RegisterDevice

if TYPE_CHECKING:
    import aiohttp

BATCH = 500
USERS = number("--users")

app = App(origins="*", workers=processes(), data=sys.argv[sys.argv.index("--data") + 1])
jobs: list[Job] = []
took = 0.0


class Sink:
    """A provider that posts to the sink."""

    name = "sink"
    limits = Limits(concurrency=100)
    _session: aiohttp.ClientSession | None = None

    def check(self, token: str) -> str:
        return token

    async def send(self, push: Push) -> Outcome:
        import aiohttp  # lazy: only the process that delivers needs it

        if self._session is None:
            self._session = aiohttp.ClientSession(f"http://127.0.0.1:{number('--sink')}")
        async with self._session.post("/", data=push.title.encode()) as answer:
            return Delivered() if answer.status == 200 else Retry(f"HTTP {answer.status}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


app.provider(Sink())


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth["user"] + ("-sse" if socket.transport == "sse" else "")


@app.on("go")
async def go(socket: Socket, how: str) -> None:
    global took
    text = f"@@{time.monotonic_ns()}@@".ljust(96, "x")
    if how != "large":
        app.emit("message", {"text": text})
        return
    began = time.monotonic()
    job = await app.notify(Audience.all(), Notification(title=text))
    took = time.monotonic() - began
    jobs.append(job)


def name(at: int) -> str:
    """Of the users, a quarter comes over each transport."""
    return f"user-{at}" if at < USERS * 3 // 4 else f"user-{at - USERS * 3 // 4}-sse"


async def in_batches(make: Any) -> list[Any]:
    found: list[Any] = []
    for at in range(0, USERS, BATCH):
        found += await asyncio.gather(*[make(n) for n in range(at, min(at + BATCH, USERS))])
    return found


@app.get("/prepare")
async def prepare() -> dict[str, int]:
    assert app.store is not None
    store = app.store
    await in_batches(
        lambda n: store.do(RegisterDevice(name(n), "sink", f"device-{n}", time.time()))
    )
    return {"devices": USERS}


@app.get("/wait")
async def wait() -> dict[str, Any]:
    """Only the worker that notified knows the job; others have none."""
    if not jobs:
        return {}
    try:
        status = await jobs[-1].wait(timeout=20)
    except TimeoutError:  # asked again
        return {}
    states = Counter([result.state async for result in jobs[-1].report()])
    return {
        "accept_ms": took * 1000,
        "recipients": status.recipients,
        "delivered": status.delivered,
        "pending": status.pending,
        "report": states["delivered"],
    }


@app.get("/inboxes")
async def inboxes() -> dict[str, int]:
    assert app.store is not None
    store = app.store
    found = await in_batches(lambda n: store.do(Inbox(name(n), after=0)))
    return {"once": sum(len(rows) == len({row.seq for row in rows}) > 0 for rows in found),
            "least": min(map(len, found)), "most": max(map(len, found))}  # fmt: skip


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
