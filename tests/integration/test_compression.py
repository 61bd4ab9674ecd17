"""permessage-deflate on a running server: who asks for it gets it, and nobody else notices."""

from __future__ import annotations

import json
import zlib
from typing import Any

import aiohttp

from hocket import App
from tests.support import WebSocketClient, Wire, asynchronous, frame, serving

LONG = "x" * 5_000
ASK = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


class Squeezed(WebSocketClient):
    """A client that inflates with zlib itself. `squeezed` counts what came compressed."""

    squeezed = 0

    async def frame(self) -> tuple[int, bytes]:
        first, second = await self.exactly(2)
        size = second
        if second >= 126:
            size = int.from_bytes(await self.exactly(2 if second == 126 else 8), "big")
        payload = await self.exactly(size)
        if first & 0x40:
            self.squeezed += 1
            payload = zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")
        return first & 0x0F, payload


def echoing() -> App:
    app = App()

    @app.on("echo")
    def echo(socket: Any, value: Any) -> Any:
        return value

    return app


@asynchronous
async def test_all_kinds_of_clients_get_the_same_broadcast_in_order() -> None:
    async with serving(echoing(), compression=True) as site:
        asks = ["X-None: 1", ASK, "Sec-WebSocket-Extensions: permessage-deflate; "
                "server_max_window_bits=9"]  # fmt: skip
        clients = [await Squeezed.joined(site, field) for field in asks for _ in range(2)]
        for number in range(5):
            site.app.emit("n", number, LONG)
        site.app.compress(False).emit("n", 5, LONG)
        site.app.emit("n", 6)
        for client in clients:
            heard = [json.loads((await client.text())[2:]) for _ in range(7)]
            assert heard == [*(["n", number, LONG] for number in range(6)), ["n", 6]]
            client.close()
        assert [client.squeezed for client in clients] == [0, 0, 5, 5, 5, 5]


@asynchronous
async def test_a_client_library_that_compresses() -> None:
    async with serving(echoing(), compression=True) as site, aiohttp.ClientSession() as session:
        url = site.url + "/socket.io/?EIO=4&transport=websocket"
        async with session.ws_connect(url, compress=15) as client:
            assert client.compress == 15
            await client.receive_str()
            await client.send_str("40")
            await client.receive_str()
            await client.send_str(f'421["echo","{LONG}"]')
            assert await client.receive_str() == f'431["{LONG}"]'


@asynchronous
async def test_a_session_that_moves_from_polling_is_compressed_too() -> None:
    async with serving(echoing(), compression=True) as site, await Wire.to(site) as poller:
        opened = await poller.request("GET", "/socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened.body[1:])["sid"]
        client = await Squeezed.to(site)
        await client.upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}", ASK)
        await client.say("2probe")
        assert await client.text() == "3probe"
        await client.say("5", "40")
        assert (await client.text()).startswith("40")
        squeezer = zlib.compressobj(wbits=-15)
        packet = f'421["echo","{LONG}"]'.encode()
        data = squeezer.compress(packet) + squeezer.flush(zlib.Z_SYNC_FLUSH)
        whole = bytearray(frame(1, data[:-4]))
        whole[0] |= 0x40
        await client.send(bytes(whole))
        assert await client.text() == f'431["{LONG}"]'
        assert client.squeezed == 1
        client.close()


@asynchronous
async def test_a_bomb_ends_its_own_connection_only() -> None:
    async with serving(echoing(), compression=True, max_payload=10_000) as site:
        bystander, bomber = [await Squeezed.joined(site, ASK) for _ in range(2)]
        squeezer = zlib.compressobj(wbits=-15)
        data = squeezer.compress(bytes(5_000_000)) + squeezer.flush(zlib.Z_SYNC_FLUSH)
        whole = bytearray(frame(1, data[:-4]))
        whole[0] |= 0x40
        await bomber.send(bytes(whole))
        assert await bomber.close_code() == 1009
        await bystander.say('421["echo",1]')
        assert await bystander.text() == "431[1]"
        bystander.close()


@asynchronous
async def test_it_is_off_unless_asked_for() -> None:
    async with serving(echoing()) as site:
        client = await Squeezed.to(site)
        answer = await client.upgrade("/socket.io/?EIO=4&transport=websocket", ASK)
        assert (answer.status, answer["sec-websocket-extensions"]) == (101, "")
        client.close()
