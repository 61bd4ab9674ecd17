"""A relay between a proxy and Hocket that counts connections and keeps what comes over each."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_REQUEST = re.compile(rb"(?:GET|POST) (/\S*) HTTP/1\.1\r\n")


class Tap:
    """Relays to `upstream`. `address` is where it listens."""

    def __init__(self, upstream: str) -> None:
        self._host, _, port = upstream.rpartition(":")
        self._port = int(port)
        self._received: list[bytearray] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self.address = ""
        self.loop: asyncio.AbstractEventLoop | None = None

    def connections(self) -> list[list[str]]:
        """The targets of the requests that each connection carried; none of those without one."""
        found = [
            [target.decode() for target in _REQUEST.findall(bytes(each))] for each in self._received
        ]
        return [targets for targets in found if targets]

    async def serve(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = "{}:{}".format(*server.sockets[0].getsockname())
        ready.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._end.set)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        received = bytearray()
        self._received.append(received)
        try:
            back, on = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.ensure_future(_pump(reader, on, received)),
            asyncio.ensure_future(_pump(back, writer, None)),
        ]
        try:
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for way in ways:
                way.cancel()
            for end in (on, writer):
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None
) -> None:
    """Until one side has said its last."""
    while data := await reader.read(65_536):
        if kept is not None:
            kept += data
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def tapped(upstream: str) -> Iterator[Tap]:
    """Run a tap, in a thread of its own."""
    tap, ready = Tap(upstream), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(tap.serve(ready)), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield tap
    finally:
        tap.stop()
        thread.join(20)
