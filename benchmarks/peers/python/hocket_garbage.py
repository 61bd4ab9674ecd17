"""Hocket with an echo that leaves a reference cycle behind each time; what the collector of cycles
did in this process, the app itself says at `/collections`. Each client has a user and two rooms.

python benchmarks/peers/python/hocket_garbage.py PORT [--processes N]
"""

import gc
import sys
import time
from typing import Any

from asked import processes

from hocket import App, Socket

app = App(origins="*", workers=processes())
pauses: list[list[float]] = [[], [], []]  # milliseconds, by generation
began = 0.0


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = auth["user"]
    socket.join("general", f"room-{int(socket.user[5:]) // 50}")


@app.on("go")
def go(socket: Socket, text: str) -> None:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@"})


@app.on("echo")
async def echo(socket: Socket, data: dict[str, Any]) -> None:
    socket.emit("echo", data)
    data["itself"] = data


@app.get("/collections")
def collections() -> dict[str, Any]:
    """Since this was last asked, of each generation: how many, and how long they took."""
    told = {
        f"generation_{number}": {
            "count": len(each),
            "max_ms": max(each, default=0.0),
            "sum_ms": sum(each),
        }
        for number, each in enumerate(pauses)
    }
    for each in pauses:
        each.clear()
    return told


def watch(phase: str, info: dict[str, int]) -> None:
    global began
    if phase == "start":
        began = time.perf_counter()
    else:
        pauses[info["generation"]].append((time.perf_counter() - began) * 1e3)


if __name__ == "__main__":
    gc.callbacks.append(watch)
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
