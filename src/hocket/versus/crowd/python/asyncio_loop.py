"""A broadcast as one would first write it on asyncio: WebSocket by hand, a `write` for each client.

`--busy` starts a thread that computes in pure Python all the time.

python asyncio_loop.py PORT [--busy]
"""

import asyncio
import sys
import time

from busy import start_if_asked

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
members: set[asyncio.Transport] = set()


class Client(asyncio.Protocol):
    """Upgraded by its first bytes; whatever it says then is a wish for a broadcast."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.upgraded = False

    def connection_lost(self, error: Exception | None) -> None:
        members.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.upgraded:
            broadcast()
            return
        self.upgraded = True
        members.add(self.transport)
        self.transport.write(ANSWER)


def broadcast() -> None:
    text = f"@@{time.monotonic_ns()}@@".ljust(120, "x").encode()
    frame = bytes((0x81, len(text))) + text
    for member in members:
        member.write(frame)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Client, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    start_if_asked()
    print(f"asyncio serves http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
