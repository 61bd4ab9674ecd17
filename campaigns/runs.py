"""The campaigns. Each gives what it asked for and what it found."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from campaigns import notify_kill
from campaigns.fleets import Fleets, fleets
from campaigns.server import Server, lives, serving, wait
from campaigns.verdict import Item, at_most, exactly, percentile

BACK: Final = 10.0  # seconds in which clients of a killed worker are back
GONE: Final = 2.0  # seconds in which workers end when their supervisor is killed
SILENCE: Final = 0.5  # seconds that a reload may take a client
ECHO: Final = 50.0  # milliseconds that 99 of 100 echoes may take
MEMORY: Final = 1.05  # of what it was
ALLOCATOR: Final = 4_096  # KB for each process that may be neither used nor given back: arenas of
# Python's allocator and pages of malloc's that one object each keeps


@dataclass
class Size:
    """How large: clients, workers, minutes; every how many seconds something happens."""

    clients: int
    workers: int
    minutes: float
    every: float = 5.0
    reloads: int = 50
    slow: float = 30.0
    rate: float = 500.0

    def __str__(self) -> str:
        return f"{self.clients} clients, {self.workers} workers, {self.minutes:g} minutes"


def kill(size: Size) -> list[Item]:
    """`kill -9` of a worker again and again."""
    probes = min(100, size.clients // 10)
    plan = {"producers": 8, "every": 4.0, "probes": probes, "echoes": 100}
    with serving(size.workers) as server, fleets(server, size.clients, **plan) as crowd:
        crowd.connected(30 + size.clients / 200)
        crowd.begin()
        kills, most = 0, 0
        end = time.monotonic() + size.minutes * 60
        while time.monotonic() < end:
            next_kill = time.monotonic() + size.every
            if len(server.workers) == size.workers:
                os.kill(random.choice(server.workers), signal.SIGKILL)
                kills += 1
            while time.monotonic() < next_kill:
                most = max(most, *server.files[1:], 0)
                time.sleep(0.2)
        back = crowd.connected(30)
        crowd.finish()
        refused = server.logged("turned away")
        return [
            exactly("clients that are there at the end", size.clients, crowd.total("joined")),
            at_most("clients are back", BACK, crowd.longest("longest_away"), " s"),
            at_most("the last are back after the last kill", BACK, back, " s"),
            exactly("clients turned away", 0, refused),
            at_most("most open files of a worker", _limit(), most),
            *_whole(crowd),
            _echoes(crowd),
            Item("workers killed", "> 0", str(kills), kills > 0),
            Item("messages delivered", "> 0", str(crowd.total("messages")), True),
        ]


def supervisor(size: Size) -> list[Item]:
    """`kill -9` of the supervisor."""
    with serving(size.workers) as server, fleets(server, size.clients, echoes=0) as crowd:
        crowd.connected(30 + size.clients / 200)
        pids = server.workers
        os.kill(server.process.pid, signal.SIGKILL)
        took = wait(lambda: not any(map(lives, pids)), 30, "workers stay behind")
        return [at_most("workers are gone", GONE, took, " s")]


def reload(size: Size) -> list[Item]:
    """Reloads, one after the other, under load."""
    few = min(100, size.clients // 10)
    plan = {"producers": 8, "every": 2.0, "probes": few, "echoes": 50, "pollers": few}
    plan["slow"] = size.slow
    with serving(size.workers) as server, fleets(server, size.clients, **plan) as crowd:
        crowd.connected(30 + size.clients / 200)
        crowd.begin()
        slow_ends = time.monotonic() + size.slow
        for _ in range(2):  # what only the first ones change is no leak
            server.reload()
        before = _resources(server, size.workers, slow_ends)
        for _ in range(size.reloads):
            server.reload()
            time.sleep(0.2)
        after = _resources(server, size.workers, slow_ends)
        crowd.finish()
        allowed = before[0] * MEMORY + ALLOCATOR * (size.workers + 1)
        return [
            exactly("clients disconnected", 0, crowd.total("ends")),
            *_whole(crowd),
            at_most("longest silence", SILENCE, crowd.longest("longest_silence"), " s"),
            exactly(f"answers after {size.slow:g} s", 1, crowd.total("slow_done")),
            exactly("processes", before[1], after[1]),
            Item("open files", str(before[2]), str(after[2]), before[2] == after[2]),
            at_most("PSS", allowed, after[0], " KB"),
            # Who asks while its worker moves waits for the move to end, which is the silence above;
            # how many of all are such depends on how often this reloads.
            at_most("longest echo", SILENCE, max(crowd.echoes, default=0.0), " s"),
            _told(crowd),
            Item("messages delivered", "> 0", str(crowd.total("messages")), True),
        ]


def _resources(server: Server, workers: int, slow_ends: float) -> tuple[int, int, list[int]]:
    """Memory, processes and open files, once old processes have gone."""
    left = max(0.0, slow_ends - time.monotonic())
    wait(lambda: len(server.workers) == workers, 90 + left, "old processes stay")
    time.sleep(1.0)
    return server.memory, len(server.workers), sorted(server.files)


def churn(size: Size) -> list[Item]:
    """Clients that come and go beside others that stay."""
    plan = {"producers": 1, "every": 5.0, "echoes": 20, "churn": size.rate}
    with serving(size.workers) as server, fleets(server, size.clients, **plan) as crowd:
        crowd.connected(30 + size.clients / 200)
        time.sleep(2.0)
        before = server.memory
        crowd.begin()
        time.sleep(size.minutes * 60)
        came = crowd.total("came")
        crowd.tell("quiet")
        time.sleep(4.0)
        after = server.memory
        crowd.finish()
        wanted = 0.95 * size.rate * size.minutes * 60
        allowed = before * MEMORY + ALLOCATOR * (size.workers + 1)
        return [
            Item("came and went", f">= {wanted:.0f}", str(came), came >= wanted),
            exactly("clients disconnected", 0, crowd.total("ends")),
            *_whole(crowd),
            Item("PSS at the start", "-", f"{before} KB", True),
            at_most("PSS at the end", allowed, after, " KB"),
            _echoes(crowd),
        ]


def _whole(crowd: Fleets) -> list[Item]:
    wrong = ("lost", "missing", "doubled", "reordered")
    return [exactly(f"messages {name}", 0, crowd.total(name)) for name in wrong]


def _echoes(crowd: Fleets) -> Item:
    return at_most(f"echo p99 of {len(crowd.echoes)} samples", ECHO, _p99(crowd), " ms")


def _told(crowd: Fleets) -> Item:
    """As `_echoes`, where nothing is asked of it."""
    return Item(f"echo p99 of {len(crowd.echoes)} samples", "-", f"{_p99(crowd):.4g} ms", True)


def _p99(crowd: Fleets) -> float:
    """Milliseconds."""
    return percentile(crowd.echoes, 0.99) * 1e3


def _limit() -> int:
    from hocket.instance.limits import open_files  # lazy: asked once

    return open_files()


RUNS: Final[dict[str, tuple[Callable[[Any], list[Item]], Any]]] = {
    "kill": (kill, Size(30_000, 4, 5.0)),
    "supervisor": (supervisor, Size(2_000, 4, 0.0)),
    "reload": (reload, Size(15_000, 4, 0.0)),
    "churn": (churn, Size(10_000, 2, 10.0)),
    "notify-kill": (notify_kill.notify_kill, notify_kill.Size()),
}
