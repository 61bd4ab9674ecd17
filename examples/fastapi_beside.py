"""FastAPI beside Socket.IO on one port: `pip install fastapi`, `python examples/fastapi_beside.py`.

`PUT /api/prices/tea?price=3` tells every Socket.IO client that has sent `watch` for tea; a plain
WebSocket at `/api/ask` answers names with prices.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, WebSocket

from hocket import App, Socket

app = App()


@app.on("watch")
def watch(socket: Socket, name: str) -> None:
    socket.join(f"price of {name}")


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"prices": {"tea": 2.5, "cake": 4.0}}  # in place of a database


api = FastAPI(lifespan=lifespan)


@api.put("/prices/{name}")
def set_price(name: str, price: float, request: Request) -> None:
    if name not in request.state.prices:
        raise HTTPException(404, f"there is no {name}")
    request.state.prices[name] = price
    app.to(f"price of {name}").emit("price", name, price)  # from a thread of FastAPI's


@api.websocket("/ask")
async def ask(websocket: WebSocket) -> None:
    await websocket.accept()
    async for name in websocket.iter_text():
        await websocket.send_json(websocket.state.prices.get(name))


app.mount("/api", api)

if __name__ == "__main__":
    app.run()
