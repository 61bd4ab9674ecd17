"""The clients of tests/support.py, over TLS: they know neither Hocket nor a proxy."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import ssl
from typing import Any, Final, Self

from tests.support import SEPARATOR, WAIT, Gone, Site, WebSocketClient, Wire

CLIENT: Final = "127.0.0.9"  # an address of this machine that no proxy comes from
TRUSTING: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # whoever signed the certificate
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


class SecureWire(Wire):
    """One TLS connection, from the address `source`. It reads only when it is asked to."""

    source = CLIENT
    _tls: ssl.SSLObject
    _in: ssl.MemoryBIO
    _out: ssl.MemoryBIO

    @classmethod
    async def to(cls, site: Site | str, receive_buffer: int = 0) -> Self:
        assert isinstance(site, str)
        host = site.removeprefix("https://")
        wire = cls(host)
        if receive_buffer:
            wire._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        wire._socket.bind((cls.source, 0))
        name, _, port = host.rpartition(":")
        await asyncio.get_running_loop().sock_connect(wire._socket, (name, int(port)))
        wire._in, wire._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        wire._tls = TRUSTING.wrap_bio(wire._in, wire._out, server_hostname=name)
        await wire._shake_hands()
        return wire

    async def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await super().send(self._out.read())
                self._in.write(await self._receive())
            else:
                await super().send(self._out.read())
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await super().send(self._out.read())

    async def _receive(self) -> bytes:
        """What comes, still encrypted."""
        async with asyncio.timeout(WAIT):
            try:
                return await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16)
            except OSError:
                return b""

    async def _more(self) -> None:
        while True:
            try:
                data = self._tls.read(1 << 18)
            except ssl.SSLWantReadError:
                if received := await self._receive():
                    self._in.write(received)
                    continue
                data = b""
            except ssl.SSLZeroReturnError:
                data = b""
            break
        if not data:
            self.ended = True
            self.close()
            raise Gone(bytes(self._buffer))
        self._buffer += data


class SecureWebSocket(SecureWire, WebSocketClient):
    """A session over WebSocket and TLS."""


class Poller:
    """A session over polling: one request at a time, all on one connection."""

    def __init__(self, wire: Wire, *fields: str) -> None:
        self.wire = wire
        self.fields = fields
        self.target = "/socket.io/?EIO=4&transport=polling"
        self._packets: list[str] = []

    @classmethod
    async def joined(cls, wire: Wire, user: str = "ada", *fields: str) -> Self:
        poller = cls(wire, *fields)
        opened = await poller.hear()
        poller.target += "&sid=" + json.loads(opened[1:])["sid"]
        await poller.say("40" + json.dumps({"user": user}))
        assert (await poller.hear()).startswith('40{"sid":')
        return poller

    async def say(self, *packets: str) -> None:
        body = SEPARATOR.join(packets).encode()
        answer = await self.wire.request("POST", self.target, *self.fields, body=body)
        assert (answer.status, answer.body) == (200, b"ok"), answer

    async def hear(self) -> str:
        """The next packet that is no ping."""
        while True:
            while self._packets:
                if (packet := self._packets.pop(0)) != "2":
                    return packet
                await self.say("3")
            answer = await self.wire.request("GET", self.target, *self.fields)
            assert answer.status == 200, answer
            self._packets = answer.body.decode().split(SEPARATOR)

    async def event(self) -> list[Any]:
        """The next event or answer: its arguments."""
        return arguments(await self.hear())


def arguments(packet: str | bytes) -> list[Any]:
    """Of an event or an answer without attachments, in the main namespace."""
    assert isinstance(packet, str)
    assert packet[:2] in ("42", "43"), packet
    found: list[Any] = json.loads(packet[packet.index("[") :])
    return found
