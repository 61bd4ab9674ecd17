"""One message to all: Hocket beside the C write loop (the limit) and Node's socket.io.

    python -m benchmarks.broadcast [--clients 15000] [--rounds 20] [--repeats 5]
                                   [--peers c,socket.io,hocket]

Servers run in turn, a fresh one for every run, pinned to one core; the load has the other. What is
measured, and how, is in README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from benchmarks import machine
from benchmarks.report import Report, Run, figure

HERE = Path(__file__).resolve().parent
NPM_FOLDER = HERE / "peers"
BUILD = HERE.parent / "build" / "benchmarks"
RESULTS = HERE / "results"

FULL = {"clients": 15_000, "rounds": 20, "repeats": 5, "peers": "c,socket.io,hocket"}
BUSY = 0.10  # cores of other load, or stolen by the host, from which on a run counts as disturbed
START_TIMEOUT = 30.0  # until a server says where it serves
AFTER_START = 0.5  # what a server does after that line belongs to nobody's figures
AFTER_CONNECT = 1.5  # garbage collectors had their chance before memory is read
BETWEEN_ROUNDS = 0.1
AFTER_ROUND = 0.05  # what a server still does when all have the message is part of its cost
SPARE_FILES = 100  # what a server or the load opens besides one file for each client
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None)  # here, because little may be done between fork and exec


class MissingError(Exception):
    """A peer cannot run here; the message says what to install."""


class FailedError(Exception):
    """A run did not come to its end; the message says why."""


# Peers


def compiled(source: str) -> str:
    """The program made from a C file in this folder."""
    program = BUILD / Path(source).stem
    if shutil.which("gcc") is None:
        raise MissingError("needs a C compiler: install the package gcc")
    if not program.exists() or program.stat().st_mtime < (HERE / source).stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        fresh = f"{program}.{os.getpid()}"
        result = subprocess.run(["gcc", "-O2", "-Wall", "-o", fresh, HERE / source], check=False)
        if result.returncode:
            raise MissingError("gcc failed, see above (Debian: install the package libc6-dev)")
        Path(fresh).replace(program)
    return str(program)


def c_loop() -> list[str]:
    return [compiled("peers/write_loop.c"), "0"]


def socketio() -> list[str]:
    for program, package in {"node": "nodejs", "npm": "npm"}.items():
        if shutil.which(program) is None:
            raise MissingError(f"needs {program}: install the package {package}")
    lock = zlib.crc32((NPM_FOLDER / "package-lock.json").read_bytes())
    ready = NPM_FOLDER / "node_modules" / f".ready-{lock:08x}"
    if not ready.exists():
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        if subprocess.run(npm, cwd=NPM_FOLDER, stdout=sys.stderr, check=False).returncode:
            raise MissingError("npm ci failed in benchmarks/peers, see above")
        ready.touch()
    return ["node", str(NPM_FOLDER / "socketio_server.mjs"), "0"]


def hocket() -> list[str]:
    return [sys.executable, str(HERE / "peers" / "hocket_app.py"), "0"]


@dataclass(frozen=True)
class Peer:
    """A server: how to start it, and how the load speaks to it."""

    name: str
    command: Callable[[], list[str]]
    mode: str


PEERS = {
    "c": Peer("C write loop", c_loop, "raw"),
    "socket.io": Peer("socket.io (Node)", socketio, "socketio"),
    "hocket": Peer("Hocket", hocket, "socketio"),
}


# Processes


@contextmanager
def process(command: list[str], core: int, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """A program on one core, gone at the end of the block, or when this process is."""

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {core})

    settings = ("HOCKET_", "NODE_OPTIONS")  # whoever has some set is not who we measure
    environment = {k: v for k, v in os.environ.items() if not k.startswith(settings)}
    running = subprocess.Popen(command, text=True, preexec_fn=prepare, env=environment, **streams)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a line that it did not live to read
                    pipe.close()


def port_of(server: subprocess.Popen[str], output: IO[bytes]) -> str:
    """Wait for the line in which a server says where it serves."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        ended = server.poll() is not None
        said = os.pread(output.fileno(), 65536, 0).decode(errors="replace")
        if found := re.search(r":(\d+)\s*$", said.partition("\n")[0] if "\n" in said else ""):
            return found[1]
        if ended:
            raise FailedError(f"the server ended with status {server.returncode}")
        time.sleep(0.02)
    raise FailedError(f"the server did not say within {START_TIMEOUT:.0f} s where it serves")


class Load:
    """The load generator, a step at a time. It watches for a stall itself."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.pid = running.pid
        self._running = running

    def connected(self) -> Run:
        return self._answer()

    def round(self) -> Run:
        self._say("go\n")
        return self._answer()

    def finish(self) -> None:
        """Let it listen for broadcasts too many. Raises FailedError."""
        assert self._running.stdin is not None
        self._running.stdin.close()
        if self._running.wait(timeout=10):
            raise FailedError("the load generator gave up, see above")

    def _say(self, line: str) -> None:
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(line)
            self._running.stdin.flush()
        except BrokenPipeError:
            raise FailedError("the load generator gave up, see above") from None

    def _answer(self) -> Run:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise FailedError("the load generator gave up, see above")
        answer: Run = json.loads(line)
        return answer


# Measuring


class OtherLoad:
    """What else ran on this machine since this was made."""

    def __init__(self, *pids: int) -> None:
        self._pids = (os.getpid(), *pids)
        self._since = self._now()

    def cores(self) -> tuple[float, float]:
        """Cores busy with something else, and cores stolen by the host."""
        wall, ours, busy, stolen = (
            now - then for now, then in zip(self._now(), self._since, strict=True)
        )
        return max(0.0, (busy - ours) / wall), stolen / wall

    def _now(self) -> tuple[float, float, float, float]:
        # ours includes the servers and the load: they are children of this process
        return time.monotonic(), machine.cpu_ns(os.getpid()) / 1e9, *machine.machine_seconds()


def measure(peer: Peer, clients: int, rounds: int) -> Run:
    """One run: a fresh server, all clients, some rounds."""
    server_core, load_core = machine.cores()
    command, generator = peer.command(), compiled("load.c")
    with (
        tempfile.TemporaryFile() as output,
        process(command, server_core, stdin=subprocess.DEVNULL, stdout=output) as server,
    ):
        port = port_of(server, output)
        time.sleep(AFTER_START)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        other = OtherLoad()
        before, cpu = machine.memory(server.pid), machine.cpu_ns(server.pid)
        with process([generator, port, str(clients), peer.mode], load_core, **pipes) as running:
            load = Load(running)
            connected = load.connected()
            time.sleep(AFTER_ROUND)
            connect_ns = machine.cpu_ns(server.pid) - cpu
            time.sleep(AFTER_CONNECT)
            after = machine.memory(server.pid)
            shots = [shoot(load, server.pid, clients) for _ in range(rounds)]
            busy, stolen = other.cores()
            load.finish()
    return {
        **connected,
        "connect_cpu_us": connect_ns / clients / 1e3,
        "base_pss": before[0],
        "pss_per_client": (after[0] - before[0]) / clients,
        "anonymous_per_client": (after[1] - before[1]) / clients,
        "other_load": round(busy, 3),
        "stolen": round(stolen, 3),
        "disturbed": busy > BUSY or stolen > BUSY,
        "rounds": shots,
    }


def shoot(load: Load, server: int, clients: int) -> Run:
    """One round, with what it cost the server (and the load, which tells if that is the limit)."""
    time.sleep(BETWEEN_ROUNDS)
    before, load_before = machine.cpu_ns(server), machine.cpu_ns(load.pid)
    result = load.round()
    load_spent = machine.cpu_ns(load.pid) - load_before
    time.sleep(AFTER_ROUND)
    spent = machine.cpu_ns(server) - before
    return {
        **result,
        "cpu_us_per_message": spent / clients / 1e3,
        "load_cpu_us_per_message": load_spent / clients / 1e3,
    }


def measure_all(report: Report, wanted: list[str]) -> bool:
    """Every peer in turn, as often as asked; tells whether no run failed."""
    fine = True
    for repeat in range(1, report.repeats + 1):
        for key in list(wanted):
            peer = PEERS[key]
            say(f"run {repeat}/{report.repeats}: {peer.name} ... ", end="")
            try:
                run = measure(peer, report.clients, report.rounds)
            except (MissingError, FailedError, machine.GoneError) as error:
                how = "Left out" if isinstance(error, MissingError) else "Failed"
                fine = fine and how != "Failed"
                wanted.remove(key)
                report.notes.append(f"{how}: {peer.name}: {error}.")
                say(report.notes[-1])
                continue
            report.runs.setdefault(key, []).append(run)
            say(f"{figure([run], 'cpu_us_per_message').median:.1f} us/message{disturbance(run)}")
    return fine


def disturbance(run: Run) -> str:
    if not run["disturbed"]:
        return ""
    return f"  DISTURBED: {run['other_load']} cores of other load, {run['stolen']} stolen"


def say(text: str, end: str = "\n") -> None:
    print(text, file=sys.stderr, end=end, flush=True)


# The command


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.broadcast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", type=positive, default=FULL["clients"])
    parser.add_argument("--rounds", type=positive, default=FULL["rounds"])
    parser.add_argument("--repeats", type=positive, default=FULL["repeats"])
    parser.add_argument("--peers", type=peers, default=FULL["peers"], help="some of %(default)s")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="where to write; default: benchmarks/results, or build/benchmarks/results for a run "
        "smaller than the full one, which replaces no kept results",
    )
    parser.add_argument("--no-report", action="store_true", help="print only, write nothing")
    return parser.parse_args()


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def peers(text: str) -> list[str]:
    keys = list(dict.fromkeys(text.split(",")))
    if unknown := [key for key in keys if key not in PEERS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PEERS)}")
    return keys


def results_folder(args: argparse.Namespace, report: Report) -> Path:
    """Where this run's results belong: the kept ones are of full runs that missed nothing."""
    if args.results is not None:
        return Path(args.results)
    asked = (args.clients, args.rounds, args.repeats)
    least = (FULL["clients"], FULL["rounds"], FULL["repeats"])
    full = all(a >= b for a, b in zip(asked, least, strict=True)) and set(report.runs) == set(PEERS)
    return RESULTS if full and not report.notes else BUILD / "results"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    args = arguments()
    if (limit := machine.raise_file_limit()) < args.clients + SPARE_FILES:
        say(f"broadcast: {args.clients} clients need {args.clients + SPARE_FILES} open files, and "
            f"`ulimit -Hn` allows {limit}")  # fmt: skip
        return 2
    report = Report(
        clients=args.clients,
        rounds=args.rounds,
        repeats=args.repeats,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine={},
        names={key: PEERS[key].name for key in PEERS if key in args.peers},
    )
    if len(set(machine.cores())) == 1:
        report.notes.append("The server and the load shared one core.")
    try:
        fine = measure_all(report, args.peers)
    except KeyboardInterrupt:
        say("stopped")
        return 128 + signal.SIGINT
    report.machine = machine.facts(NPM_FOLDER)
    print(report.summary(), end="")
    if report.runs and not args.no_report:
        for path in report.write(results_folder(args, report)):
            say(f"wrote {os.path.relpath(path)}")
    return 0 if fine and report.runs else 1


if __name__ == "__main__":
    sys.exit(main())
