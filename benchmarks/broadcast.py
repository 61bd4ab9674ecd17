"""One message to all: Hocket beside the C write loop (the limit) and Node's socket.io.

    python -m benchmarks.broadcast [--clients 15000] [--rounds 20] [--repeats 5]
                                   [--peers c,socket.io,hocket]

Servers run in turn, a fresh one for every run, pinned to one core; the load has the other. What is
measured is in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"
RESULTS = HERE / "results"
SERVER_CORE, LOAD_CORE = 0, 1
BUSY = 0.10  # other load, in cores, from which on a run counts as disturbed

Result = dict[str, Any]


class Missing(Exception):
    """A peer cannot run here; the message says what to install."""


def compiled(source: str) -> str:
    program = BUILD / Path(source).stem
    if shutil.which("gcc") is None:
        raise Missing("needs a C compiler: install gcc")
    BUILD.mkdir(parents=True, exist_ok=True)
    if not program.exists() or program.stat().st_mtime < (HERE / source).stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-Wall", "-o", program, HERE / source], check=True)
    return str(program)


def node() -> list[str]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("needs Node.js: install nodejs and npm")
    if not (HERE / "peers/node_modules/socket.io").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=HERE / "peers", check=True)
    return ["node", str(HERE / "peers/socketio_server.mjs"), "0"]


@dataclass(frozen=True)
class Peer:
    """A server: how to start it, and how the load speaks to it."""

    name: str
    command: Callable[[], list[str]]
    mode: str


PEERS = {
    "c": Peer("C write loop", lambda: [compiled("peers/write_loop.c"), "0"], "raw"),
    "socket.io": Peer("socket.io (Node)", node, "socketio"),
    "hocket": Peer(
        "Hocket", lambda: [sys.executable, str(HERE / "peers/hocket_app.py"), "0"], "socketio"
    ),
}


def cpu_ns(pid: int) -> int:
    """CPU time of all threads, at the scheduler's resolution."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def memory(pid: int) -> tuple[int, int]:
    """PSS, and the anonymous part of it, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
    return found["Pss"], found["Pss_Anon"]


def busy_seconds() -> float:
    """CPU time that the whole machine has spent."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / float(os.sysconf("SC_CLK_TCK"))


def pinned(core: int) -> Callable[[], None]:
    core %= os.cpu_count() or 1
    return lambda: os.sched_setaffinity(0, {core})


def start(command: list[str], core: int, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(command, text=True, preexec_fn=pinned(core), **streams)


def measure(peer: Peer, clients: int, rounds: int) -> Result:
    """One run: a fresh server, all clients, some rounds."""
    server = start(peer.command(), SERVER_CORE, stdout=subprocess.PIPE)
    load = None
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip().rpartition(":")[2]
        time.sleep(0.5)  # what a server still does after its first line belongs to nobody's figures
        wall, machine = time.monotonic(), busy_seconds()
        before, anonymous = memory(server.pid)
        cpu = cpu_ns(server.pid)
        command = [compiled("load.c"), port, str(clients), peer.mode]
        load = start(command, LOAD_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        connect_s = ask(load, None)["connect_s"]
        connect_cpu = cpu_ns(server.pid) - cpu
        time.sleep(1.5)  # garbage collectors had their chance
        after, anonymous_after = memory(server.pid)
        shots = [shoot(load, server.pid, clients) for _ in range(rounds)]
        ours = (cpu_ns(server.pid) - cpu + cpu_ns(load.pid)) / 1e9
        other = (busy_seconds() - machine - ours) / (time.monotonic() - wall)
        return {
            "peer": peer.name,
            "connect_s": connect_s,
            "connect_cpu_us": connect_cpu / clients / 1e3,
            "pss_per_client": (after - before) / clients,
            "anonymous_per_client": (anonymous_after - anonymous) / clients,
            "base_pss": before,
            "rounds": shots,
            "other_load": round(other, 3),
            "disturbed": other > BUSY,
        }
    finally:
        for process in (load, server):
            if process is not None:
                process.kill()
                process.wait()


def ask(load: subprocess.Popen[str], line: str | None) -> Result:
    """The load's next line of JSON, after telling it to go on."""
    assert load.stdin is not None
    assert load.stdout is not None
    if line is not None:
        load.stdin.write(line)
        load.stdin.flush()
    answer = load.stdout.readline()
    if not answer:
        raise SystemExit("the load generator gave up; its reason is above")
    result: Result = json.loads(answer)
    return result


def shoot(load: subprocess.Popen[str], pid: int, clients: int) -> Result:
    time.sleep(0.1)
    before = cpu_ns(pid)
    result = ask(load, "go\n")
    return {**result, "cpu_us_per_message": (cpu_ns(pid) - before) / clients / 1e3}


def figures(runs: list[Result]) -> dict[str, tuple[float, float, float]]:
    """Median, least and most over the runs; of a run's rounds the median counts."""
    each: dict[str, list[float]] = {}
    for run in runs:
        for name in ("connect_cpu_us", "pss_per_client", "anonymous_per_client"):
            each.setdefault(name, []).append(run[name])
        for name in ("cpu_us_per_message", "last_ms", "p99_ms"):
            each.setdefault(name, []).append(
                statistics.median(shot[name] for shot in run["rounds"])
            )
    return {name: (statistics.median(v), min(v), max(v)) for name, v in each.items()}


COLUMNS = {
    "cpu_us_per_message": ("CPU per delivered message, us", "{:.1f}"),
    "last_ms": ("time to the last client, ms", "{:.0f}"),
    "anonymous_per_client": ("anonymous memory per client, bytes", "{:.0f}"),
    "pss_per_client": ("PSS per client, bytes", "{:.0f}"),
    "connect_cpu_us": ("CPU per new connection, us", "{:.0f}"),
}


def table(results: dict[str, list[Result]]) -> str:
    """A Markdown table: median (least-most), and the ratio to the C loop and to socket.io."""
    summary = {key: figures(runs) for key, runs in results.items()}
    names = [PEERS[key].name for key in summary]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for column, (title, form) in COLUMNS.items():
        cells = []
        for values in summary.values():
            median, least, most = (form.format(value) for value in values[column])
            cells.append(f"{median} ({least}-{most})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    if "hocket" in summary:
        lines += ["", *ratios(summary)]
    return "\n".join(lines)


def ratios(summary: dict[str, dict[str, tuple[float, float, float]]]) -> list[str]:
    lines = []
    for other in ("c", "socket.io"):
        if other in summary:
            for column in ("cpu_us_per_message", "last_ms", "connect_cpu_us"):
                mine, theirs = summary["hocket"][column][0], summary[other][column][0]
                lines.append(f"- {COLUMNS[column][0]}: {mine / theirs:.2f} x {PEERS[other].name}")
    return lines


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name, command in {
        "node": ["node", "--version"],
        "gcc": ["gcc", "-dumpfullversion"],
    }.items():
        if shutil.which(command[0]):
            found[name] = subprocess.check_output(command, text=True).strip()
    lock = HERE / "peers/package-lock.json"
    packages = json.loads(lock.read_text())["packages"] if lock.exists() else {}
    found["socket.io"] = packages.get("node_modules/socket.io", {}).get("version", "?")
    return found


def machine() -> dict[str, Any]:
    model = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    name = model[0].partition(":")[2].strip() if model else platform.machine()
    return {"cpu": name, "cores": os.cpu_count(), **versions()}


def write_report(args: argparse.Namespace, results: dict[str, list[Result]]) -> None:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    raw = {"clients": args.clients, "rounds": args.rounds, "machine": machine(), "runs": results}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"broadcast-{day}.json"
    path.write_text(json.dumps(raw, indent=1) + "\n")
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    disturbed = sum(run["disturbed"] for runs in results.values() for run in runs)
    text = (
        f"# One message to {args.clients:,} clients\n\n{day}, loopback; {facts}.\n"
        f"Median of {args.repeats} runs of {args.rounds} rounds (least-most); raw numbers: "
        f"{path.name}.\nRuns disturbed by other load: {disturbed}.\n\n{table(results)}\n"
    )
    (RESULTS / "broadcast.md").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default="c,socket.io,hocket")
    parser.add_argument("--no-report", action="store_true", help="print only, keep no results")
    args = parser.parse_args()
    results: dict[str, list[Result]] = {}
    wanted = args.peers.split(",")
    for repeat in range(args.repeats):
        for key in list(wanted):
            print(
                f"run {repeat + 1}/{args.repeats}: {PEERS[key].name} ...", file=sys.stderr, end=" "
            )
            try:
                run = measure(PEERS[key], args.clients, args.rounds)
            except Missing as missing:
                print(f"left out: {missing}", file=sys.stderr)
                wanted.remove(key)
                continue
            note = (
                f"  DISTURBED by other load of {run['other_load']} cores"
                if run["disturbed"]
                else ""
            )
            cpu = figures([run])["cpu_us_per_message"][0]
            print(f"{cpu:.1f} us/message{note}", file=sys.stderr)
            results.setdefault(key, []).append(run)
    print(table(results))
    if not args.no_report:
        write_report(args, results)


if __name__ == "__main__":
    main()
