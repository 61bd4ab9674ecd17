"""What services do all day: compute, wait for others, move files, pass on, push."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from hocket.versus.asking import get_json
from hocket.versus.machine import cpu_ns, most_memory
from hocket.versus.processes import (
    LOAD_CORE,
    SERVER_CORE,
    FailedError,
    Load,
    Running,
    loading,
    process,
    started,
)
from hocket.versus.scenario import Contest, Measure, Scenario, Values
from hocket.versus.scenarios.http import CLIENTS, WARM_UP, ask

MIB = 2**20


@contextmanager
def loaded(contest: Contest, server: Running, clients: int) -> Iterator[Load]:
    with loading(contest.load("http"), server.port, clients) as load:
        load.answer()
        yield load


def cpu(contest: Contest) -> Values:
    """Requests that only wait, on a schedule: alone, then beside one client whose requests work.

    Nobody's connections outlive a phase: Node.js and uvicorn close those that rest for 5 s.
    """
    seconds, rate = contest.size["seconds"], contest.size["rate"]
    found: Values = {}
    with started(contest.program("cpu")) as server:
        with loaded(contest, server, CLIENTS) as waiting:
            ask(waiting, rate, WARM_UP, "/wait")
            found["alone_p99_ms"] = ask(waiting, rate, seconds, "/wait")["p99_us"] / 1e3
        for path in ("hash", "resize"):
            with loaded(contest, server, 1) as working:
                found[f"{path}_per_s"] = ask(working, 0, seconds, f"/{path}")["per_s"]
                with loaded(contest, server, CLIENTS) as waiting:
                    working.say(f"0 {seconds} GET /{path} 0")
                    found[f"{path}_p99_ms"] = ask(waiting, rate, seconds, "/wait")["p99_us"] / 1e3
                working.answer()
    return found


CPU = Scenario(
    name="cpu",
    title="Work for the processor beside requests that wait",
    question="What does a request that computes do to everybody else?",
    measures={
        "alone_p99_ms": Measure("a wait of 5 ms, alone: 99 %", "ms", digits=1, least=0.5),
        "hash_p99_ms": Measure("beside password hashes: 99 %", "ms", digits=1, least=0.5),
        "resize_p99_ms": Measure("beside plain code that computes: 99 %", "ms", least=0.5),
        "hash_per_s": Measure("password hashes per second", "/s", "more", 1),
        "resize_per_s": Measure("pictures made smaller in plain code, per second", "/s", "more", 1),
    },
    run=cpu,
    full={"seconds": 5, "rate": 500},
    quick={"seconds": 0.4, "rate": 500},
    programs=("cpu",),
    loads=("http",),
    says="On one core. Each platform puts the work where its documentation says: Go into the "
    "handler, Node.js the hash into libuv's threads and plain code into the loop, Python and "
    "Hocket both into threads. The picture is 1600 x 1200 grey pixels, without a library.",
)


def io(contest: Contest) -> Values:
    seconds = contest.size["seconds"]
    with (
        process_of(contest, "backend") as backend,
        started(contest.program("io"), str(backend.port)) as server,
        loaded(contest, server, contest.size["clients"]) as load,
    ):
        ask(load, 0, WARM_UP)
        before = cpu_ns(server.pid)
        most = ask(load, 0, seconds)
        spent = cpu_ns(server.pid) - before
        given = ask(load, contest.size["rate"], seconds)
    return {
        "per_s": most["per_s"],
        "cpu_us": spent / 1e3 / most["requests"],
        "p50_ms": given["p50_us"] / 1e3,
        "p99_ms": given["p99_us"] / 1e3,
    }


@contextmanager
def process_of(contest: Contest, load: str) -> Iterator[Running]:
    """A program of the loads that serves, on the loads' core."""
    with started([contest.load(load)], cores=(LOAD_CORE,)) as running:
        yield running


IO = Scenario(
    name="io",
    title="A handler that waits for a database and another service",
    question="How many requests a second does one core answer that wait for others?",
    measures={
        "per_s": Measure("requests per second, one core", "/s", "more", 0),
        "cpu_us": Measure("CPU per request", "us", digits=0),
        "p50_ms": Measure("at 500 requests a second: half", "ms", digits=2, least=0.2),
        "p99_ms": Measure("at 500 requests a second: 99 %", "ms", digits=2, least=0.5),
    },
    run=io,
    full={"seconds": 4, "clients": 128, "rate": 500},
    quick={"seconds": 0.5, "clients": 128, "rate": 500},
    programs=("io",),
    loads=("http", "backend"),
    says="Each request reads a key over Redis' protocol (1 ms) and calls a service (5 ms); both "
    "are a stand-in that runs beside the load.",
)


def files(contest: Contest) -> Values:
    seconds, size = contest.size["seconds"], contest.size["mib"] * MIB
    path = contest.maker.cache / f"download-{contest.size['mib']}"
    if not path.exists() or path.stat().st_size != size:
        path.write_bytes(os.urandom(MIB) * contest.size["mib"])
    with (
        started(contest.program("files"), str(path)) as server,
        loaded(contest, server, 4) as load,
    ):
        idle = most_memory(server.pid)
        down = ask(load, 0, seconds, "/download")
        up = ask(load, 0, seconds, "/upload", "POST", size)
        most = most_memory(server.pid)
    return {
        "download_mib_s": down["bytes"] / MIB / seconds,
        "upload_mib_s": up["per_s"] * contest.size["mib"],
        "more_mib": (most - idle) / MIB,
    }


FILES = Scenario(
    name="files",
    title="Upload and download of files, as streams",
    question="How fast do files come and go, and does memory stay small?",
    measures={
        "download_mib_s": Measure("download, one core", "MiB/s", "more", 0),
        "upload_mib_s": Measure("upload to disk, one core", "MiB/s", "more", 0),
        "more_mib": Measure("memory that it takes at most", "MiB", least=1),
    },
    run=files,
    full={"seconds": 4, "mib": 16},
    quick=None,
    programs=("files",),
    loads=("http",),
    says="Four connections, files of 16 MiB.",
)


def proxy(contest: Contest) -> Values:
    seconds = contest.size["seconds"]
    with (
        process_of(contest, "backend") as backend,
        started(contest.program("proxy"), str(backend.port)) as server,
        loaded(contest, server, CLIENTS) as load,
    ):
        ask(load, 0, WARM_UP, "/any")
        before = cpu_ns(server.pid)
        told = ask(load, 0, seconds, "/any")
        spent = cpu_ns(server.pid) - before
    return {
        "per_s": told["per_s"],
        "p99_ms": told["p99_us"] / 1e3,
        "cpu_us": spent / 1e3 / told["requests"],
    }


PROXY = Scenario(
    name="proxy",
    title="A TCP proxy",
    question="What does it cost to pass requests on?",
    measures={
        "per_s": Measure("requests passed on per second, one core", "/s", "more", 0),
        "p99_ms": Measure("time until the answer, 99 %", "ms", digits=2, least=0.2),
        "cpu_us": Measure("CPU per request", "us"),
    },
    run=proxy,
    full={"seconds": 4},
    quick=None,
    columns=("go", "node", "python"),
    programs=("proxy",),
    loads=("http", "backend"),
    says="Hocket is no proxy and has no column here.",
)


def push(contest: Contest) -> Values:
    users = contest.size["users"]
    with process_of(contest, "backend") as backend:
        command = [*contest.program("push"), str(backend.port), str(users)]
        with process(command, SERVER_CORE, stdout=subprocess.PIPE) as running:
            said = running.communicate()[0]
        if running.returncode:
            raise FailedError(f"push ended with status {running.returncode}")
        told, counted = json.loads(said), get_json(backend.port, "/counted")
    if told["failed"] or counted != users:
        raise FailedError(f"{counted} of {users} pushes came, {told['failed']} failed")
    return {"per_s": users / told["seconds"], "per_day": users / told["seconds"] * 86_400 / 1e6}


PUSH = Scenario(
    name="push",
    title="A push to each of 50,000 device tokens",
    question="How fast are 50,000 pushes sent, each a request to the provider?",
    measures={
        "per_s": Measure("pushes per second, one core", "/s", "more", 0),
        "per_day": Measure("that is a day", "million", "more", 0),
    },
    run=push,
    full={"users": 50_000},
    quick={"users": 5_000},
    programs=("push",),
    loads=("backend",),
    says="A goroutine, a promise or a task for each user; 128 connections to a stand-in for the "
    "provider on this machine (quick: 5,000 tokens). Hocket does more for it: all is on disk "
    "before the first push leaves, each result is kept, and what fails is tried again.",
)
