"""pywebpush, used well: its async form, one session for all, one Vapid object."""

from __future__ import annotations

import json

import aiohttp
from py_vapid import Vapid
from pywebpush import webpush_async
from sending import TEXT, arguments, measure, run, subscriptions


async def main() -> None:
    _, url, count, tasks = arguments()
    devices = list(subscriptions(1000, url))
    vapid = Vapid()
    vapid.generate_keys()
    data = json.dumps(TEXT)
    connector = aiohttp.TCPConnector(limit=tasks)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(number: int) -> None:
            response = await webpush_async(
                subscription_info=devices[number % len(devices)],
                data=data,
                vapid_private_key=vapid,
                vapid_claims={"sub": "mailto:a@example.com"},
                ttl=3600,
                content_encoding="aes128gcm",
                aiohttp_session=session,
            )
            assert response.status == 201

        await measure(send, count, tasks)


run(main)
