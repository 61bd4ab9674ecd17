"""A handler that asks the database and another service, and answers with both."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import redis.asyncio
from fastapi import FastAPI, Request
from serving import arg, serve

BACKEND = f"127.0.0.1:{arg(2)}"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.database = redis.asyncio.from_url(
        f"redis://{BACKEND}", protocol=2, max_connections=256
    )
    connections = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connections) as app.state.service:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def profile(request: Request) -> dict[str, Any]:
    state = request.app.state
    user = await state.database.get("user:1234567")
    async with state.service.get(f"http://{BACKEND}/wait") as answer:
        return {"user": json.loads(user), "status": await answer.json()}


if __name__ == "__main__":
    serve("io", app)
