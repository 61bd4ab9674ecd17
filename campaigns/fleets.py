"""Fleets of clients, as the campaigns see them: one."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from campaigns.fleet import Plan, Sight
from campaigns.server import FailedError, Server, wait
from hocket.versus.machine import put_first

EACH: Final = 15_000  # clients of a process
SETTLE: Final = 2.0  # seconds in which nothing comes, once all is there
LATEST: Final = 60.0  # seconds for all that is on its way
ECHOING: Final = 100  # clients whose echoes are timed


class Fleets:
    """All clients of a campaign. Those whose echoes are timed have a process of their own, which
    goes before everything else on its core where the user may ask for that (SCHED_FIFO, sched(7)):
    the others take 0.3 s to read one message to all of them, which is not the server's.
    """

    def __init__(self, server: Server, clients: int, **plan: Any) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self.sights: list[Sight] = []
        self.echoes: list[float] = []
        self._readers: list[threading.Thread] = []
        host, port = server.address
        most = min(EACH, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1_000)
        common = {key: plan[key] for key in ("connect",) if key in plan}
        echoes = plan.pop("echoes", 0)
        echoing = min(ECHOING, clients // 10) if echoes else 0
        for first in range(0, clients - echoing, most):
            count = min(most, clients - echoing - first)
            share = plan if first == 0 else common
            self._start(Plan(host, port, count, first=first, **{"echoes": 0, **share}))
        if echoing:
            first = clients - echoing
            self._start(Plan(host, port, echoing, first=first, echoes=echoes, **common))
            put_first(self._processes[-1].pid)
        self.clients = clients

    def _start(self, plan: Plan) -> None:
        at = len(self._processes)
        process = subprocess.Popen(
            [sys.executable, "-m", "campaigns.fleet", msgspec.json.encode(plan).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        self.sights.append(Sight())
        self._readers.append(threading.Thread(target=self._read, args=(at, process), daemon=True))
        self._readers[-1].start()

    def _read(self, at: int, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.sights[at] = msgspec.json.decode(line, type=Sight)
            self.echoes += self.sights[at].echoes

    def total(self, name: str) -> int:
        return sum(getattr(sight, name) for sight in self.sights)

    def longest(self, name: str) -> float:
        return max(float(getattr(sight, name)) for sight in self.sights)

    def connected(self, within: float) -> float:
        """Wait until all are there; how long that took."""
        why = "not all clients are connected"
        return wait(lambda: self.total("joined") == self.clients, within, why)

    def tell(self, line: str) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()

    def begin(self) -> None:
        self.tell("begin")

    def finish(self) -> None:
        """Let what is on its way come, and count what has not."""
        self.tell("quiet")
        heard, end = -1, time.monotonic() + LATEST
        while heard != self.total("messages") and time.monotonic() < end:
            heard = self.total("messages")
            time.sleep(SETTLE)
        sent: dict[int, int] = {}
        for sight in self.sights:
            sent.update(sight.sent)
        self.tell(msgspec.json.encode(sent).decode())
        for process, reader in zip(self._processes, self._readers, strict=True):
            if process.wait(30):
                raise FailedError("clients have failed: see above")
            reader.join(10)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def fleets(server: Server, clients: int, **plan: Any) -> Iterator[Fleets]:
    """Clients, while the block runs; see fleet.Plan."""
    made = Fleets(server, clients, **plan)
    try:
        yield made
    finally:
        made.close()
