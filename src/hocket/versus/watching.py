"""What a run costs, and what disturbs it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hocket.versus import machine, processes
from hocket.versus.processes import Answer, Load, Running

Run = dict[str, Any]

DISTURBING = 0.10  # cores of other load, or stolen by the host, from which on a run is disturbed
SHORTEST = 0.2  # seconds of a run that can be told: the kernel counts in hundredths
AFTER_CONNECT = 1.5  # garbage collectors had their chance before memory is read
BETWEEN_ROUNDS = 0.1
AFTER_ROUND = 0.05  # what a server still does when all have the message is part of its cost


class OtherLoad:
    """What else ran on this machine since this was made."""

    def __init__(self) -> None:
        self._since = self._now()

    def facts(self) -> Run:
        """Cores busy with something else, and cores stolen by the host."""
        wall, ours, busy, stolen = (
            now - then for now, then in zip(self._now(), self._since, strict=True)
        )
        other, lost = max(0.0, (busy - ours) / wall), stolen / wall
        return {
            "other_load": round(other, 3),
            "stolen": round(lost, 3),
            "disturbed": wall >= SHORTEST and (other > DISTURBING or lost > DISTURBING),
        }

    def _now(self) -> tuple[float, float, float, float]:
        # Servers and loads are children of this process: alive, or ended and waited for. What they
        # started themselves may have ended with them, and nobody waited for it.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = (machine.cpu_ns(os.getpid()) + processes.orphaned) / 1e9
        ours += ended.ru_utime + ended.ru_stime
        return time.monotonic(), ours, *machine.machine_seconds()


@dataclass
class Growth:
    """CPU and memory of a server before its clients come."""

    server: Running
    clients: int

    def __post_init__(self) -> None:
        self.pss, self.anonymous = machine.memory(self.server.pid)
        self.cpu = machine.cpu_ns(self.server.pid)

    def cpu_per_client(self) -> float:
        """Microseconds since then, for each client."""
        time.sleep(AFTER_ROUND)
        return (machine.cpu_ns(self.server.pid) - self.cpu) / self.clients / 1e3

    def memory_per_client(self) -> Run:
        """Bytes since then, for each client."""
        time.sleep(AFTER_CONNECT)
        pss, anonymous = machine.memory(self.server.pid)
        return {
            "base_pss": self.pss,
            "pss_per_client": (pss - self.pss) / self.clients,
            "anonymous_per_client": (anonymous - self.anonymous) / self.clients,
        }


def broadcast_round(
    load: Load,
    server: Running,
    clients: int,
    cpu_ns: Callable[[int], int] = machine.cpu_ns,
) -> Answer:
    """One round, with what it cost the server (and the load, which tells if that is the limit)."""
    time.sleep(BETWEEN_ROUNDS)
    before, load_before = cpu_ns(server.pid), machine.cpu_ns(load.pid)
    result = load.ask("go")
    load_spent = machine.cpu_ns(load.pid) - load_before
    time.sleep(AFTER_ROUND)
    spent = cpu_ns(server.pid) - before
    return {
        **result,
        "cpu_us_per_message": spent / clients / 1e3,
        "load_cpu_us_per_message": load_spent / clients / 1e3,
    }
