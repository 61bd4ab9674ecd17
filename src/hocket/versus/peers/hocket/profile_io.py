"""A handler that asks the database and another service, and answers with both."""

import json
import sys
from typing import Any

import aiohttp
import redis.asyncio

from hocket import App

BACKEND = f"127.0.0.1:{sys.argv[2] if len(sys.argv) > 2 else 0}"
app = App()
database = redis.asyncio.from_url(f"redis://{BACKEND}", protocol=2, max_connections=256)
service: aiohttp.ClientSession


@app.on_startup
async def start() -> None:
    global service
    service = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256))


@app.on_shutdown
async def stop() -> None:
    await service.close()


@app.get("/")
async def profile() -> dict[str, Any]:
    user = await database.get("user:1234567")
    async with service.get(f"http://{BACKEND}/wait") as answer:
        return {"user": json.loads(user), "status": await answer.json()}


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
