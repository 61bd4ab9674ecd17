"""One message to a crowd, at the limits: of one process, and of 50,000 clients."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial

from hocket.versus.making import HERE, Maker
from hocket.versus.platforms import Command
from hocket.versus.processes import loading, started
from hocket.versus.scenario import Contest, Measure, Scenario, Values
from hocket.versus.watching import Growth, broadcast_round

PER_PROCESS = 18_000  # connections, where a process may open 20,000 files
PROGRAMS = {
    "go": partial(Maker.go, name="gorilla"),
    "node": partial(Maker.node, name="socketio"),
    "hocket": partial(Maker.hocket, name="hocket_app"),
    "c": partial(Maker.c, name="write_loop"),
    "centrifuge": partial(Maker.go, name="centrifuge"),
    "rust": partial(Maker.rust, name="socketioxide-peer"),
}


def program(contest: Contest) -> Command:
    """A server whose clients all have a user and two rooms. Raises MissingError."""
    root = HERE / "crowd"
    maker = replace(
        contest.maker,
        cache=contest.maker.cache / "crowd",
        root=root,
        swapped={"hocket": root / "python"},
    )
    return PROGRAMS[contest.key](maker)


def deliver(contest: Contest) -> Values:
    """All clients connect; then some rounds of one message to all of them."""
    clients = contest.size["clients"]
    processes = -(-clients // PER_PROCESS)
    flags = ("--processes", str(processes)) if processes > 1 else ()
    with started(program(contest), *flags) as server:
        growth = Growth(server, clients)
        speaks = contest.platform.speaks
        with loading(contest.load("broadcast"), server.port, clients, speaks) as load:
            load.answer()
            connect = growth.cpu_per_client()
            memory = growth.memory_per_client()
            rounds = [broadcast_round(load, server, clients) for _ in range(contest.size["rounds"])]
            load.finish()
    found = {
        key: statistics.median(each[key] for each in rounds)
        for key in ("cpu_us_per_message", "last_ms")
    }
    return found | {
        "connect_cpu_us": connect,
        "pss_kib": memory["pss_per_client"] / 1024,
        "all_mib": (memory["base_pss"] + memory["pss_per_client"] * clients) / 2**20,
    }


MEASURES = {
    "cpu_us_per_message": Measure("CPU per delivery", "us", digits=2),
    "last_ms": Measure("until the last client has it", "ms", digits=0, least=5),
    "connect_cpu_us": Measure("CPU per new connection", "us", digits=0),
    "pss_kib": Measure("memory of each client with a user and two rooms", "KiB", digits=2),
    "all_mib": Measure("memory of all processes with all clients", "MiB"),
}

SINGLE = Scenario(
    name="single",
    title="One message to 15,000 clients of one process",
    question="What does a delivery cost, against a bare loop of write in C?",
    measures=MEASURES,
    run=deliver,
    make=program,
    full={"clients": 15_000, "rounds": 15},
    columns=("go", "node", "hocket", "c", "centrifuge", "rust"),
    loads=("broadcast",),
    says="C is the limit: it parses nothing and knows no users. Go is gorilla/websocket, which "
    "speaks bare WebSocket; Node.js and Hocket speak Socket.IO.",
)
CROWD = Scenario(
    name="crowd",
    title="One message to 50,000 clients",
    question="What does it cost when a server needs several processes?",
    measures=MEASURES,
    run=deliver,
    make=program,
    full={"clients": 50_000, "rounds": 10},
    columns=("go", "node", "hocket", "c"),
    loads=("broadcast",),
    says="Three processes each, as many as it takes where one may open 20,000 files, besides the "
    "one that leads those of Node.js and of Hocket; all on one core. They spread a message as "
    "their own documentation says: socket.io by its cluster adapter, Go over Unix sockets, C over "
    "pipes, Hocket with its workers. python-socketio, centrifuge and socketioxide need Redis.",
)
