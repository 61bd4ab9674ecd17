"""A push to every user's device: a task for each user, and gather for all."""

import asyncio
import json
import time

import aiohttp
import uvloop
from serving import arg

PROVIDER = f"http://127.0.0.1:{arg(1)}/count"


async def send_push(client: aiohttp.ClientSession, token: str) -> None:
    body = {"token": token, "title": "Sale", "body": "Everything must go"}
    async with client.post(PROVIDER, json=body) as answer:
        await answer.read()


async def main(users: int) -> None:
    began = time.perf_counter()
    connections = aiohttp.TCPConnector(limit=128)
    async with aiohttp.ClientSession(
        connector=connections, timeout=aiohttp.ClientTimeout()
    ) as client:
        pushes = [send_push(client, f"device-{user}") for user in range(users)]
        results = await asyncio.gather(*pushes, return_exceptions=True)
    failed = sum(result is not None for result in results)
    print(json.dumps({"seconds": time.perf_counter() - began, "failed": failed}))


if __name__ == "__main__":
    uvloop.run(main(int(arg(2))))
