"""Memory: of a server that does nothing, of each connection, of each task that waits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE

from hocket.versus.machine import cpu_ns, memory
from hocket.versus.platforms import Command
from hocket.versus.processes import (
    SERVER_CORE,
    FailedError,
    Running,
    loading,
    process,
    started,
)
from hocket.versus.scenario import ALL, Contest, Measure, Scenario, Values

SETTLE = 0.8  # seconds: collectors had their chance
MIB = 2**20


def server_memory(contest: Contest) -> Values:
    with started(contest.program("hello")) as server:
        idle = memory(server.pid)[0]
    few, more = contest.size["few"], contest.size["clients"] - contest.size["few"]
    with started(contest.program("chat")) as server, chatting(contest, server, few):
        before, cpu = memory(server.pid)[0], cpu_ns(server.pid)
        with chatting(contest, server, more) as spent:
            after = memory(server.pid)[0]
    return {
        "idle_mib": idle / MIB,
        "connection_kib": (after - before) / more / 1024,
        "connection_us": (spent - cpu) / more / 1e3,
    }


@contextmanager
def chatting(contest: Contest, server: Running, clients: int) -> Iterator[int]:
    """So many clients in their rooms; the server's CPU until then, in nanoseconds."""
    arguments = (server.port, clients, contest.size["room"], contest.platform.speaks)
    with loading(contest.load("chat"), *arguments) as load:
        load.answer()
        spent = cpu_ns(server.pid)
        time.sleep(SETTLE)
        yield spent


MEMORY = Scenario(
    name="memory",
    title="Memory of a server and of its connections",
    question="What does a server need that does nothing, and how much more for each user?",
    measures={
        "idle_mib": Measure("a server of one page, idle", "MiB", least=0.5),
        "connection_kib": Measure("each chat connection", "KiB", digits=2, least=0.2),
        "connection_us": Measure("CPU per new chat connection", "us", digits=0),
    },
    run=server_memory,
    full={"few": 2_000, "clients": 15_000, "room": 50},
    quick={"few": 200, "clients": 800, "room": 50},
    programs=("hello", "chat"),
    loads=("chat",),
    says="PSS, so memory that is shared with other processes counts once. Of a connection: from "
    "2,000 to 15,000 of them (quick: from 200 to 800), so what a server takes once is not in it.",
)


def waiting(command: Command, count: int) -> tuple[int, int]:
    """Bytes of a program with so many tasks that wait, and how many it got."""
    with process([*command, str(count)], SERVER_CORE, stdin=PIPE, stdout=PIPE) as running:
        assert running.stdout is not None
        said = re.match(r"(\d+) wait", running.stdout.readline())
        if said is None:
            raise FailedError("the program ended before its tasks waited")
        time.sleep(SETTLE / 2)
        return memory(running.pid)[0], int(said[1])


def tasks(contest: Contest) -> Values:
    command = contest.program("threads" if contest.key == "c" else "tasks")
    base, _ = waiting(command, 0)
    full, got = waiting(command, contest.size["tasks"])
    return {"task_bytes": (full - base) / max(got, 1), "tasks": got}


TASKS = Scenario(
    name="tasks",
    title="Memory of a task that waits: thread, goroutine, promise, coroutine",
    question="What does each of 50,000 things cost that a program waits for at the same time?",
    measures={
        "task_bytes": Measure("memory of each task that waits", "bytes", digits=0, least=50),
        "tasks": Measure("tasks that one process got, of 50,000", "", "more", 0),
    },
    run=tasks,
    full={"tasks": 50_000},
    quick=None,
    columns=(*ALL, "c"),
    make=lambda contest: contest.program("threads" if contest.key == "c" else "tasks"),
    says="A goroutine, a promise, an asyncio task (Python and Hocket), and a thread of the "
    "operating system. Of a thread this is what it touched: each also reserves 8 MiB of addresses, "
    "and kernel memory that PSS does not show.",
)
