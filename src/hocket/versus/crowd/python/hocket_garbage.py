"""Hocket with an echo that leaves a reference cycle behind each time, or N of them; what the
collector of cycles did in this process, the app itself says at `/collections`, and at `/longest`
how long it took at most. Each client has a user and two rooms.

python hocket_garbage.py PORT [--processes N] [--cycles N]
"""

import gc
import os
import sys
import time
from typing import Any

from asked import number, processes

from hocket import App, Socket

app = App(origins="*", workers=processes())
pauses: list[list[float]] = [[], [], []]  # milliseconds, by generation
longest = [0.0, 0.0, 0.0]  # milliseconds of CPU, by generation
began = began_cpu = 0.0
more_cycles = range(number("--cycles", 1) - 1)


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    if watch not in gc.callbacks:  # from the first client on: the collection at the start is past
        gc.callbacks.append(watch)
    socket.user = auth["user"]
    socket.join("general", f"room-{int(socket.user[5:]) // 50}")


@app.on("go")
def go(socket: Socket, text: str) -> None:
    app.to("general").emit("message", {"text": f"@@{time.monotonic_ns()}@@"})


@app.on("echo")
async def echo(socket: Socket, data: dict[str, Any]) -> None:
    socket.emit("echo", data)
    data["itself"] = data
    for _ in more_cycles:
        cycle: list[Any] = []
        cycle.append(cycle)


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


@app.get("/longest")
def tell_longest() -> dict[str, Any]:
    """Of this worker. Its CPU alone: what it waited for a core is not the collector's."""
    return {"pid": os.getpid(), "cpu_ms": longest}


def watch(phase: str, info: dict[str, int]) -> None:
    global began, began_cpu
    if phase == "start":
        began, began_cpu = time.perf_counter(), time.thread_time()
        return
    generation = info["generation"]
    pauses[generation].append((time.perf_counter() - began) * 1e3)
    longest[generation] = max(longest[generation], (time.thread_time() - began_cpu) * 1e3)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
