"""Servers that misbehave while a notification is under way, through all of a delivery: nothing is
lost, no device is forgotten, and whoever is behind another server has it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hocket import App, Audience, Notification
from hocket.notify import retry
from hocket.providers.base import Delivered, Limits, Retry
from hocket.providers.email import Email
from hocket.providers.vapid import make_private_key
from hocket.providers.webhook import Webhook
from hocket.providers.webpush import WebPush
from hocket.store.base import Devices, RegisterDevice
from tests.integration.providers.test_email import Mailbox, mail_server, provider
from tests.integration.providers.test_webpush import SUBJECT, subscription
from tests.peers import DRIP, ENDLESS, HANG, RESET, Request, answer, peer, push
from tests.support import asynchronous, eventually, serving

EACH = 15  # devices behind each server
KEYS: dict[str, Any] = {
    "webhook_secret": "whsec_" + b64encode(b"k" * 32).decode(),
    "vapid_private_key": make_private_key(),
    "vapid_subject": SUBJECT,
    "allow_private_endpoints": True,
}
TOKENS: dict[str, Callable[[str], str]] = {"webhook": str, "webpush": subscription}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    "says",
    [
        pytest.param(answer(500), id="500"),
        pytest.param(answer(429, "", "Retry-After: 1"), id="429"),
        pytest.param(RESET, id="reset"),
        pytest.param(HANG, id="hang"),
        pytest.param(DRIP, id="drip"),
        pytest.param(ENDLESS, id="endless"),
        pytest.param(b"\x00\xff garbage\r\n\r\n", id="garbage"),
    ],
)
@asynchronous
async def test_nothing_is_lost_and_others_are_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: bytes
) -> None:
    for kind in (Webhook, WebPush):
        monkeypatch.setattr(kind, "limits", Limits(concurrency=EACH, timeout=0.3))
    monkeypatch.setattr(retry, "PAUSE", 0.1)
    monkeypatch.setattr(retry, "FIRST", 0.2)
    mended = asyncio.Event()

    def ill(request: Request) -> bytes:
        return answer(201) if mended.is_set() else says

    async with (
        peer(ill) as bad,
        peer(lambda _: answer(201)) as good,
        serving(App(), data=str(tmp_path), **KEYS) as site,
    ):
        store = site.app.store
        assert store is not None
        for server in (bad, good):  # the bad one's are first in the queue
            for number in range(EACH):
                token = TOKENS[name](f"{server.url}/{number}")
                await store.do(RegisterDevice("ada", name, token, time.time()))
        job = await site.app.notify(Audience.all(), Notification(title="x"))
        await eventually(lambda: len(good.requests) == EACH)
        assert (await job.status()).pending > 0
        mended.set()
        status = await job.wait(timeout=60)
        assert (status.delivered, status.failed, status.state) == (2 * EACH, 0, "done")
        assert len(good.requests) == EACH
        devices = await store.do(Devices())
        assert len(devices) == 2 * EACH


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 5_000 + b"\r\n")
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("act", [hang, reset, garbage, drip])
@asynchronous
async def test_a_mail_server_that_misbehaves(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    monkeypatch.setattr(Email, "limits", Limits(concurrency=10, timeout=0.4))
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's, of what is closed
            await act(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sender = provider(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with asyncio.timeout(10):
        outcome = await sender.send(push("ada@example.com"))
    assert isinstance(outcome, Retry)
    await sender.close()
    server.close()
    for writer in writers:
        writer.close()
    mailbox = Mailbox()
    monkeypatch.setattr(Email, "limits", Limits(concurrency=10, timeout=10.0))
    async with mail_server(mailbox) as where:
        sender = provider(where)
        assert isinstance(await sender.send(push("ada@example.com")), Delivered)
        await sender.close()
