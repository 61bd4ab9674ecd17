"""The campaign `notify-kill`: a notification to many devices, on a slow sink, while every
second some process of the server dies by `kill -9`: worker, store, delivery, supervisor (which is
started again). Nothing may be lost, repeats carry the same collapse key and are of what was in hand
at a kill, not settled on disk, and what was answered 202 is there afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from campaigns.server import FailedError
from campaigns.verdict import Item, exactly
from hocket import store
from hocket.store.base import RegisterDevice
from hocket.store.sqlite.database import NAME

ROLES: Final = ("worker", "store", "delivery", "supervisor")
TURNS: Final = 10  # of the event loop, in which the sink reads what was sent before a kill
START: Final = 60.0  # seconds that the server may take to serve
END: Final = 120.0  # seconds that the job may take after the last kill, beyond its pace
BATCH: Final = 500
SETTLED: Final = """SELECT n.id || ' d' || substr(d.user, 2) FROM deliveries AS d
JOIN notifications AS n ON n.number = d.notification WHERE d.state = 'delivered'"""


@dataclasses.dataclass(frozen=True)
class Size:
    """`pace`: devices a second that the sink takes."""

    devices: int = 20_000
    kills: int = 50
    every: float = 1.0
    pace: float = 350.0
    seed: int = 1

    def __str__(self) -> str:
        return f"{self.devices} devices, {self.kills} kills"


class Arrival(NamedTuple):
    """A push at the sink."""

    came: float
    notification: str
    collapse_key: str


class Kill(NamedTuple):
    """From when to when it was done, and which pushes were settled on disk just before: those may
    not be repeated.
    """

    began: float
    done: float
    role: str
    settled: frozenset[str]

    def explains(self, key: str, first: Arrival, again: Arrival) -> bool:
        """Whether one push may have been sent twice because of it. A worker sends none."""
        between = first.came <= self.done and self.began <= again.came
        return between and self.role != "worker" and key not in self.settled


class Sink:
    """Takes pushes slowly: `delay` seconds each."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self.arrivals: dict[str, list[Arrival]] = {}
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                await self._take(head.split(" ")[1][1:], body, writer)
        self._writers.discard(writer)
        writer.close()

    async def close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _take(self, token: str, body: Any, writer: asyncio.StreamWriter) -> None:
        came = time.time()
        at = self.arrivals.setdefault(f"{body['notification']} {token}", [])
        at.append(Arrival(came, body["notification"], body["collapse_key"]))
        await asyncio.sleep(self._delay)
        if not writer.is_closing():
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()


class Server:
    """The processes, started again when the supervisor has died."""

    def __init__(self, folder: Path, sink: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = open(folder / "log", "a")  # noqa: SIM115 - for as long as the server
        self.log = folder / "log"
        self._env = {key: value for key, value in os.environ.items() if key[:7] != "HOCKET_"} | {
            "HOCKET_SINK": sink,
            "HOCKET_DATA": str(folder / "data"),
            "HOCKET_WORKERS": "2",
            "HOCKET_PORT": str(self.port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Until it serves; what is left of the one before may be in the way for a moment."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [sys.executable, "-m", "campaigns.notify_app"],
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
            assert self._process.stdout is not None
            line = await asyncio.to_thread(self._process.stdout.readline)
            self._process.stdout.close()
            if line.startswith(b"Hocket serves "):
                return
            await asyncio.to_thread(self._process.wait)
            await asyncio.sleep(0.2)
        raise FailedError(f"the server does not start: {self.log.read_text()[-2000:]}")

    def processes(self) -> dict[str, list[int]]:
        """Their ids, by role."""
        assert self._process is not None
        pid = self._process.pid
        found: dict[str, list[int]] = {"supervisor": [pid]}
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in map(int, children):
                found.setdefault(_role(child), []).append(child)
        return found

    def settled(self) -> frozenset[str]:
        """The pushes that are known to be delivered, as the sink calls them."""
        path = Path(self._env["HOCKET_DATA"], NAME)
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return frozenset(key for (key,) in database.execute(SETTLED))

    async def kill(self, role: str, chance: random.Random) -> Kill | None:
        """Kill one of a role, if there is one now."""
        pids = self.processes().get(role)
        if not pids:
            return None
        pid = chance.choice(pids)
        settled, began = self.settled(), time.time()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if role == "supervisor":
            assert self._process is not None
            await asyncio.to_thread(self._process.wait)
            await self.start()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return Kill(began, time.time(), role, settled)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        self._log.close()

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request on a connection of its own; (0, None) if the server went away."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Content-Length: {len(data)}",
            "Connection: close",
        ]
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                with contextlib.closing(writer):
                    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
                    answer = await reader.read()
        except (OSError, TimeoutError):
            return 0, None
        head, _, content = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 "):
            return 0, None
        with contextlib.suppress(ValueError):
            return int(head.split(b" ")[1]), json.loads(content)
        return 0, None


def _role(pid: int) -> str:
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = each.partition(b"=")
            if name == b"HOCKET_PLACE":
                return value.split(b":")[0].decode()
    return "none"


async def register(data: Path, count: int) -> None:
    """Devices of as many users, before the server is there."""
    kept = await store.open(data)
    for at in range(0, count, BATCH):
        numbers = range(at, min(at + BATCH, count))
        await asyncio.gather(
            *[kept.do(RegisterDevice(f"u{n}", "sink", f"d{n}", time.time())) for n in numbers]
        )
    await kept.close()


async def keep_sending(server: Server, size: Size, accepted: list[str]) -> None:
    """Small notifications all the time; those that were answered 202 are to be there later."""
    chance = random.Random(size.seed)
    while True:
        users = [f"u{chance.randrange(size.devices)}" for _ in range(3)]
        status, body = await server.ask("POST", "/send", {"users": users, "title": "small"})
        if status == 202:
            accepted.append(body["id"])
        await asyncio.sleep(0.1)


async def kill_all(server: Server, size: Size, kills: list[Kill]) -> None:
    chance = random.Random(size.seed)
    for number in range(size.kills):
        await asyncio.sleep(size.every)
        # the first ones are each of the roles: also a short run has all of them
        role = ROLES[number] if number < len(ROLES) else chance.choice(ROLES)
        while (kill := await server.kill(role, chance)) is None:
            await asyncio.sleep(0.05)
        kills.append(kill)


class Outcome(NamedTuple):
    """All that happened."""

    size: Size
    big: str
    kills: list[Kill]
    sink: Sink
    status: dict[str, Any]
    report: dict[str, int]
    accepted: list[str]
    there: int
    seconds: float


async def run(size: Size, folder: Path) -> Outcome:
    """One campaign, in an empty folder."""
    sink = Sink(100 / size.pace)
    server = Server(folder, await sink.open())
    await register(folder / "data", size.devices)
    await server.start()
    accepted: list[str] = []
    kills: list[Kill] = []
    try:
        began = time.monotonic()
        status, body = await server.ask("POST", "/send", {"users": [], "title": "big"})
        assert status == 202, body
        sending = asyncio.create_task(keep_sending(server, size, accepted))
        await kill_all(server, size, kills)
        sending.cancel()
        await asyncio.wait([sending])
        ids = [body["id"], *accepted]
        limit = time.monotonic() + END + size.devices / size.pace
        done = await _wait_for_all(server, ids, limit)
        seconds = time.monotonic() - began
        report = (await server.ask("GET", f"/jobs/{ids[0]}/report"))[1]
        return Outcome(
            size, ids[0], kills, sink, done[ids[0]], report or {}, ids, len(done), seconds
        )
    finally:
        server.stop()
        await sink.close()


async def _wait_for_all(server: Server, ids: list[str], limit: float) -> dict[str, Any]:
    """How all jobs stand once they are done, or at the limit."""
    done: dict[str, Any] = {}
    for id in ids:
        while time.monotonic() < limit:
            status, body = await server.ask("GET", f"/jobs/{id}")
            if status == 200:
                done[id] = body
                if body["state"] == "done":
                    break
            elif status == 404:
                break
            await asyncio.sleep(0.2 if status == 200 else 0.5)
    return done


def judge(outcome: Outcome) -> list[Item]:
    size, arrivals = outcome.size, outcome.sink.arrivals
    big = {key.partition(" ")[2] for key in arrivals if key.startswith(outcome.big)}
    repeats = [(key, each) for key, each in arrivals.items() if len(each) > 1]
    again = sum(len(each) - 1 for _, each in repeats)
    fatal = [kill for kill in outcome.kills if kill.role != "worker"]
    bound = sum(
        all_[0].came <= kill.done and key not in kill.settled
        for kill in fatal
        for key, all_ in arrivals.items()
    )
    unexplained = sum(
        not any(kill.explains(key, first, again) for kill in fatal)
        for key, all_ in repeats
        for first, again in pairwise(all_)
    )
    keys = sum(len({each.collapse_key for each in all_}) > 1 for all_ in arrivals.values())
    status = outcome.status
    counts = (status.get("delivered"), status.get("failed"), status.get("pending"))
    return [
        Item("devices pushed", str(size.devices), str(len(big)), len(big) == size.devices),
        Item("repeats", f"<= {bound} in hand at a kill", str(again), again <= bound),
        Item("repeats of what was settled", "0", str(unexplained), unexplained == 0),
        Item("repeats with another collapse key", "0", str(keys), keys == 0),
        Item("the job ends", "done", str(status.get("state")), status.get("state") == "done"),
        Item("delivered, failed, pending", f"{size.devices}, 0, 0", str(counts),
             counts == (size.devices, 0, 0)),
        Item("users in the report", f"{size.devices} delivered", str(outcome.report),
             outcome.report == {"delivered": size.devices}),
        Item("answered 202 and there", str(len(outcome.accepted)), str(outcome.there),
             outcome.there == len(outcome.accepted)),
        Item("kills", str(size.kills), str(dict(Counter(kill.role for kill in outcome.kills))),
             len(outcome.kills) == size.kills),
    ]  # fmt: skip


def notify_kill(size: Size) -> list[Item]:
    """`kill -9` of all kinds of processes while devices are pushed to."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(run(size, Path(folder)))
        errors = Path(folder, "log").read_text()
    for part in re.split(r"(?=^Traceback|^.* internal error)", errors, flags=re.M)[1:]:
        print("log:", part[:1500])
    return [
        *judge(outcome),
        exactly("internal errors in the log", 0, errors.count("internal error")),
        Item("seconds", "-", f"{outcome.seconds:.0f}", True),
    ]
