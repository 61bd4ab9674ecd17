"""What this machine allows, measured against a number of users; for `hocket doctor`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket as sockets
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from hocket.instance.limits import open_files, room
from hocket.instance.listener import BACKLOG

WARM: Final = 50  # clients that bring along what only the first ones take
SAMPLE: Final = 4_000  # clients that are connected to see what one takes
# What the kernel keeps for an idle TCP connection (socket, its files, epoll), measured: 1,000,000
# connections took 10 GB for both ends.
KERNEL: Final = 5_000
TYPICAL: Final = 1_250  # and a server, where it has not been measured
ALL_PORTS: Final = 64_000  # of an address, in round numbers
TCP_MEM: Final = "/proc/sys/net/ipv4/tcp_mem"
_SERVER: Final = """
from hocket import App
app = App()
@app.on("connect")
def connect(socket, auth):
    socket.user = auth["user"]
    socket.join("everyone", auth["user"][:2])
app.run(port=0)
"""
_HEAD: Final = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and what to do about it (empty: nothing). `known`:
    whether that could be found out.
    """

    what: str
    found: str
    advice: str = ""
    known: bool = True


def read(path: str) -> str:
    """A file of the kernel's; empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def examine(users: int, workers: int) -> list[Finding]:
    """Everything but `memory`. Takes milliseconds."""
    return [
        _files(users, workers),
        _queue("net.core.somaxconn", "connections that may wait to be accepted", users),
        _queue("net.ipv4.tcp_max_syn_backlog", "connections that may be half open", users),
        *_ports(users),
        *_socket_memory(users),
        _package("uvloop", "the event loop is slower without it"),
        _package("httptools", "needed"),
        _python(),
    ]


def fits(workers: int) -> int:
    """Users that this machine takes as it is set up: by open files, sockets and memory."""
    bounds = [room(open_files()) * workers, _free_memory() // (KERNEL + TYPICAL)]
    if text := read(TCP_MEM):
        bounds.append(int(text.split()[2]))
    return max(1, min(bounds))


def _files(users: int, workers: int) -> Finding:
    files = open_files()
    each = room(files)
    needed = -(-users // each)
    found = f"{files} for each process: {each} connections for each worker"
    if needed <= workers:
        return Finding("open files", found)
    asked = -(-users // workers) * 11 // 10 + 128
    advice = f"--workers {needed} (or --max-connections {users}), or raise the limit: "
    if asked > int(read("/proc/sys/fs/nr_open") or asked):
        advice += f"sysctl -w fs.nr_open={asked}, and then "
    advice += f"LimitNOFILE={asked} in the systemd unit, `ulimit -n`"
    return Finding("open files", found, advice)


def _queue(name: str, meaning: str, users: int) -> Finding:
    """More than there are do not come at once."""
    text = read("/proc/sys/" + name.replace(".", "/"))
    if not text:
        return Finding(name, "not on this system")
    if int(text) >= min(BACKLOG, users):
        return Finding(name, f"{text} {meaning}")
    return Finding(name, f"{text} {meaning}", f"sysctl -w {name}={BACKLOG}, for storms of clients")


def _ports(users: int) -> list[Finding]:
    text = read("/proc/sys/net/ipv4/ip_local_port_range")
    if not text:
        return []
    low, high = map(int, text.split())
    count, name = high - low + 1, "net.ipv4.ip_local_port_range"
    found = f"{count} ports: so many connections from one proxy address to one of this server's"
    if count < users and users > ALL_PORTS:
        found += f"; {users} users take {-(-users // ALL_PORTS)} addresses to listen on"
    if count >= min(users, ALL_PORTS):
        return [Finding(name, found)]
    return [Finding(name, found, f"behind one proxy: sysctl -w {name}='1024 65535'")]


def _socket_memory(users: int) -> list[Finding]:
    text = read(TCP_MEM)
    if not text:
        return []
    page = os.sysconf("SC_PAGE_SIZE")
    most = int(text.split()[2]) * page
    # A page for each client while a broadcast is on its way to all of them.
    needed = users * page
    found = f"{most >> 20} MiB for what waits in sockets"
    if needed <= most:
        return [Finding("net.ipv4.tcp_mem", found)]
    pages = needed // page
    return [
        Finding(
            "net.ipv4.tcp_mem",
            found,
            f"sysctl -w net.ipv4.tcp_mem='{pages // 2} {pages * 3 // 4} {pages}'",
        )
    ]


def _package(name: str, why: str) -> Finding:
    there = importlib.util.find_spec(name) is not None
    return (
        Finding(name, "installed")
        if there
        else Finding(name, "missing", f"{why}: pip install {name}")
    )


def _python() -> Finding:
    found = [python()]
    if _is_built_plainly():
        found.append("with them a connection takes 15 % less CPU outside the kernel")
    if sys.version_info < (3, 12):
        found.append("from 3.12 on `async def` handlers start 2-3 us quicker")
    return Finding("Python", "; ".join(found))


def python() -> str:
    """Its version, and that it could be quicker if it could."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{version}, built without --enable-optimizations" if _is_built_plainly() else version


def _is_built_plainly() -> bool:
    """As pyenv builds it unless told otherwise; distributions, containers and installers do not.
    Debian's Python has neither the one nor the other word for it.
    """
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    could_be = sysconfig.get_config_var("PGO_PROF_USE_FLAG")
    return bool(configured and could_be) and "--enable-optimizations" not in configured


# Memory


def memory(users: int) -> Finding:
    """Start a server, connect `SAMPLE` clients, and see what one takes. Takes a second or two."""
    try:
        each = measure() + KERNEL
    except (OSError, ValueError) as error:
        why = "raise the limit of open files first, see above" if _sample() < SAMPLE else ""
        return Finding("memory", f"could not be measured here: {error}", why, known=False)
    needed, free = users * each, _free_memory()
    found = f"{each - KERNEL} bytes for a client here, about {KERNEL} in the kernel: "
    found += f"{needed >> 20} MiB for {users} users, {free >> 20} MiB are free"
    return Finding("memory", found, "" if needed <= free else f"{needed - free >> 20} MiB more")


def measure() -> int:
    """Bytes of a server's memory for one client with a user and two rooms. Raises OSError,
    ValueError when that server does not serve them.
    """
    sample = _sample()
    if sample < WARM:
        raise OSError(f"a process may open {open_files()} files")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HOCKET_")}
    command = [sys.executable, "-c", _SERVER]
    with (
        tempfile.TemporaryDirectory() as nowhere,  # the hocket.toml of this folder is another's
        subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=subprocess.PIPE, text=True, env=environment, cwd=nowhere
        ) as server,
    ):
        try:
            line = server.stdout.readline() if server.stdout is not None else ""
            if not line:
                raise OSError("a server does not start, as it says above")
            port = int(line.rpartition(":")[2])
            with contextlib.ExitStack() as clients:
                for number in range(WARM):
                    clients.enter_context(_client(port, number))
                before = _anonymous(server.pid)
                for number in range(sample):
                    clients.enter_context(_client(port, number))
                after = _anonymous(server.pid)
        finally:
            server.kill()
    return max(0, after - before) // sample


def _sample() -> int:
    """How many clients both this process and the server may have."""
    return min(SAMPLE, room(open_files()) - 2 * WARM)


def _client(port: int, number: int) -> sockets.socket:
    client = sockets.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(_HEAD)
    _read_until(client, b'"maxPayload"')
    packet = b'40{"user":"%02d-%d"}' % (number % 50, number)
    client.sendall(bytes([0x81, 0x80 | len(packet)]) + b"\0\0\0\0" + packet)
    _read_until(client, b'40{"sid"')
    return client


def _read_until(client: sockets.socket, mark: bytes) -> None:
    data = b""
    while mark not in data:
        more = client.recv(4096)
        if not more:
            raise ConnectionError("the server closed the connection")
        data += more


def _anonymous(pid: int) -> int:
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not say what a process takes (smaps_rollup)")


def _free_memory() -> int:
    """Of this machine, and of the container if there is one (cgroups of both versions)."""
    lines = read("/proc/meminfo").splitlines()
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for folder, most, used, cached in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        files = f"/sys/fs/cgroup/{folder}"
        limit, taken = read(files + most), read(files + used)
        if limit.isdigit() and taken.isdigit():
            kept = dict(line.split() for line in read(f"{files}memory.stat").splitlines())
            taken_for_good = max(0, int(taken) - int(kept.get(cached, 0)))
            free.append(max(0, int(limit) - taken_for_good))
    return min(free, default=1 << 62)


def bound(users: int, most: int) -> list[Finding]:
    """`most`: how many the settings of this folder let in; 0: they do not say."""
    name = "max_connections"
    if not most:
        return []
    found = f"{most}, so the settings of this folder say"
    if users <= most:
        return [Finding(name, found)]
    return [Finding(name, found, f"--max-connections {users}, or nobody more is let in")]
