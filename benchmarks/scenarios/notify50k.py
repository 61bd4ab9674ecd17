"""One notification to 50,000 users: half of them connected, all of them with a device."""

import sys
import tempfile
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks import building
from benchmarks.scenario import Row, Run, Scenario, Size
from benchmarks.servers import HOCKET, Command, Server
from benchmarks.several import processes_for
from hocket.versus.asking import get, get_json
from hocket.versus.processes import LOAD_CORE, FailedError, Load, loading, started

PATIENCE = 200.0  # seconds that a job may take
PLAIN = 3  # plain broadcasts before each notification

ROWS = {
    "live_ratio": Row("live, to the last client, by a plain broadcast", "{:.2f}", drawn=True),
    "plain_last_ms": Row("plain broadcast: time to the last client, ms", "{:.0f}"),
    "live_last_ms": Row(
        "notification: time from stored to the last client, ms", "{:.0f}", drawn=True
    ),
    "accept_ms": Row("time until it was stored, ms"),
    "pushes_per_s": Row("pushes to devices per second", "{:.0f}", drawn=True),
    "recipients": Row("recipients", "{:.0f}"),
    "reported": Row("recipients in the report whose device has it", "{:.0f}"),
    "inboxes": Row("inboxes that have each notification once", "{:.0f}"),
    "pushed": Row("pushes at the devices, by devices and notifications", "{:.4f}"),
}


def round_of(how: str, leader: Load, listener: Load) -> dict[str, float]:
    """All clients of both loads have it: the worse of their figures."""
    listener.say("wait")
    time.sleep(0.05)
    figures = [leader.ask(how), listener.answer()]
    return {name: max(each[name] for each in figures) for name in ("last_ms", "p50_ms")}


def settled(port: int) -> dict[str, Any]:
    """How the last job went. Some worker knows it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := get_json(port, "/wait"):
            return answer
    raise FailedError(f"a job did not end within {PATIENCE:.0f} s")


def measure(server: Server, command: Command, size: Size) -> Run:
    """Plain broadcasts and notifications by turns, to the same clients."""
    users = size.clients[0]
    quarter = users // 4
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        sink = stack.enter_context(started(building.hocket("sink.py"), cores=(LOAD_CORE,)))
        flags = ["--data", data, "--sink", str(sink.port), "--users", str(users)]
        flags += ["--processes", str(processes_for(users // 2))]
        running = stack.enter_context(started(command, *flags))
        get_json(running.port, "/prepare")
        program = building.load("broadcast")
        loads = [
            stack.enter_context(loading(program, running.port, quarter, kind))
            for kind in ("socketio", "sse")
        ]
        for load in loads:
            load.answer()
        plain: list[float] = []
        jobs: list[dict[str, Any]] = []
        for _ in range(size.rounds):
            plain += [round_of("go", *loads)["last_ms"] for _ in range(PLAIN)]
            began = time.monotonic()
            live = round_of("large", *loads)
            job = settled(running.port)
            job["pushes_per_s"] = job["delivered"] / (time.monotonic() - began)
            jobs.append({**job, "live_last_ms": live["last_ms"] - job["accept_ms"]})
        found = get_json(running.port, "/inboxes")
        pushed = int(get(sink.port, "/"))
        for load in loads:
            load.finish()
    return summary(users, plain, jobs, found, pushed)


def summary(
    users: int, plain: list[float], jobs: list[dict[str, Any]], found: dict[str, int], pushed: int
) -> Run:
    whole = found["least"] == found["most"] == len(jobs)
    middle = {
        name: median([job[name] for job in jobs])
        for name in ("live_last_ms", "accept_ms", "pushes_per_s", "recipients")
    }
    return {
        **middle,
        "plain_last_ms": median(plain),
        "live_ratio": middle["live_last_ms"] / median(plain),
        "reported": min(job["report"] for job in jobs),
        "inboxes": found["once"] if whole else 0,
        "pushed": pushed / users / len(jobs),
    }


def command() -> list[str]:
    """Hocket from this tree."""
    source = f"PYTHONPATH={building.ROOT / 'src'}"
    script = building.PEERS / "python" / "hocket_notify.py"
    return ["env", source, sys.executable, str(script)]


SCENARIO = Scenario(
    name="notify50k",
    title="One notification to 50,000 users",
    columns={"hocket": Server("Hocket", command, HOCKET.speaks)},
    full=Size(clients=(50_000,), rounds=3, repeats=1),
    quick=Size(clients=(400,), rounds=2, repeats=1),
    rows=lambda size: ROWS,
    measure=measure,
    several=True,
    says="A quarter of the users is connected over WebSocket, another over Server-Sent Events; all "
    "have a device at a local sink. All processes of the server (two workers, the store, the "
    "delivery) share one core, the sink and the clients the other. The time to the last client is "
    "counted from the moment at which `app.notify` returns, which is when it is stored.",
)
