"""A local push service: answers every POST with 200 and counts them; `GET /` tells how many.

python versus/crowd/python/sink.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

taken = 0


class Client(asyncio.Protocol):
    """One connection. Bodies have a length."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        global taken
        self.buffer += data
        while (end := self.buffer.find(HEAD_END)) >= 0:
            head = self.buffer[:end].lower()
            if head.startswith(b"get"):
                body = b"%d" % taken
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                self.buffer = self.buffer[end + 4 :]
                self.transport.write(answer)
                continue
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            taken += 1
            self.transport.write(OK)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Client, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    print(f"sink on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
