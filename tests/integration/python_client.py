"""python-socketio's client: `python python_client.py URL TRANSPORTS`, with SSL_CERT_FILE.

Prints one line of JSON: what it saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import socketio

MANY = 100


async def joined(
    url: str, transports: list[str], namespace: str
) -> tuple[socketio.AsyncClient, asyncio.Queue[list[Any]]]:
    """A client, and what it hears."""
    client = socketio.AsyncClient(reconnection=False)
    heard: asyncio.Queue[list[Any]] = asyncio.Queue()
    client.on("*", lambda *event: heard.put_nowait(list(event)), namespace=namespace)
    client.on("question", lambda value: value * 2, namespace=namespace)
    auth = {"user": "ada"}
    await client.connect(url, auth=auth, transports=transports, namespaces=[namespace])
    return client, heard


async def talk(url: str, transports: list[str], namespace: str) -> dict[str, Any]:
    client, heard = await joined(url, transports, namespace)
    gone = asyncio.Event()
    client.on("disconnect", lambda *_: gone.set(), namespace=namespace)
    seen = {"welcome": await heard.get(), "transport": client.transport()}
    seen["echo"] = await client.call("echo", (1, {"deep": [b"\x03"]}), namespace=namespace)
    seen["answer"] = await client.call("ask", 21, namespace=namespace)
    await client.call("join", "kitchen", namespace=namespace)
    for at in range(MANY):
        await client.emit("say", ("kitchen", at), namespace=namespace)
    seen["room"] = [await heard.get() for _ in range(MANY)]
    await client.emit("kick", namespace=namespace)
    await gone.wait()
    return seen


async def refused(url: str, transports: list[str]) -> bool:
    try:
        await joined(url, transports, "/closed")
    except socketio.exceptions.ConnectionError:
        return True
    return False


async def main(url: str, transports: list[str]) -> None:
    async with asyncio.timeout(30):
        seen = {place: await talk(url, transports, place) for place in ("/", "/admin")}
        result = {**seen, "refused": await refused(url, transports)}
    print(json.dumps(result, default=list), flush=True)
    os._exit(0)  # with what this client still waits for


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].split("+")))
