"""Hocket with a timer of 10 ms beside an echo: how late it is, the app itself says at `/lateness`.

python hocket_timer.py PORT
"""

import asyncio
import sys
from time import monotonic
from typing import Any

from hocket import App, Socket

PERIOD = 0.010

app = App(origins="*")
late: list[float] = []
running: set[asyncio.Task[None]] = set()


@app.on("echo")
async def echo(socket: Socket, data: dict[str, str]) -> None:
    socket.emit("echo", data)


@app.get("/lateness")
def lateness() -> dict[str, Any]:
    """Milliseconds, of all timers since this was last asked."""
    values = sorted(late) or [0.0]
    late.clear()
    return {
        "timers": len(values),
        "p50_ms": values[len(values) // 2],
        "p99_ms": values[len(values) * 99 // 100],
        "max_ms": values[-1],
    }


@app.on_startup
async def start() -> None:
    running.add(asyncio.create_task(tick()))


async def tick() -> None:
    while True:
        due = monotonic() + PERIOD  # the loop's own clock may stand still within a turn
        await asyncio.sleep(PERIOD)
        late.append(max(0.0, monotonic() - due) * 1e3)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
