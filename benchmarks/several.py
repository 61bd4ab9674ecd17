"""Servers of several processes: as many as the limit of open files asks for."""

from __future__ import annotations

from benchmarks.servers import Server

PER_PROCESS = 18_000  # connections, where a process may open 20,000 files
LEAST = 2  # so that in a small run, too, processes tell each other

SEVERAL = (
    "A process may open 20,000 files here, so each server has as many as its clients take: three "
    "for 50,000, besides one that leads those of Node.js and of Hocket. They spread a message as "
    "their own documentation says: socket.io by its cluster adapter, ws through node:cluster, Go "
    "over Unix sockets (one port by SO_REUSEPORT), C over pipes, Hocket with `--workers`. All "
    "processes of a server share one core, those of the load the other. centrifuge, socketioxide "
    "and python-socketio are left out at this scale: between processes they need Redis or NATS."
)


def processes_for(connections: int) -> int:
    return max(LEAST, -(-connections // PER_PROCESS))


def flags_for(server: Server, connections: int) -> tuple[str, ...]:
    """What a server is started with for so many connections."""
    return (*server.flags, "--processes", str(processes_for(connections)))
