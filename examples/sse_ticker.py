"""A ticker over Server-Sent Events: `python examples/sse_ticker.py`, then open the printed URL.

The browser's own `EventSource` is the client. When the connection is lost it comes back by itself,
says the last `id` it has seen, and gets what it missed.
"""

import asyncio
import time
from collections import deque
from typing import Any

from starlette.responses import HTMLResponse

from hocket import App, Socket

PAGE = """<!doctype html><title>Ticker</title><ul></ul><script>
const list = document.querySelector("ul");
new EventSource("/events").addEventListener("tick", (event) => {
  const [tick] = JSON.parse(event.data);
  list.append(Object.assign(document.createElement("li"), { textContent: tick.number }));
});
</script>"""

app = App()
recent: deque[dict[str, Any]] = deque(maxlen=1000)
ticking: set[asyncio.Task[None]] = set()


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    last = socket.handshake.headers.get("last-event-id", "")
    for tick in recent:
        if last.isdecimal() and tick["number"] > int(last):
            socket.cursor(str(tick["number"])).emit("tick", tick)
    socket.join("ticks")


async def tick() -> None:
    # The milliseconds since 1970: numbers go on rising when the server is started anew.
    while True:
        recent.append({"number": time.time_ns() // 1_000_000})
        app.to("ticks").cursor(str(recent[-1]["number"])).emit("tick", recent[-1])
        await asyncio.sleep(0.2)


@app.on_startup
def start() -> None:
    ticking.add(asyncio.create_task(tick()))


@app.on_shutdown
def stop() -> None:
    ticking.pop().cancel()


if __name__ == "__main__":
    app.run()
