"""The Supervisor: owns the listening socket; starts, reloads and stops the processes of an
instance (`roles.py`, `crew.py`, `reloading.py`).

It never imports the application: a worker is the command that the user gave, run again, which finds
in its environment that it is one (`place.py`). So nothing of an application can break the
supervisor, and what a new worker runs is always the code that is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket as sockets
import sys
from pathlib import Path
from typing import Final

import msgspec

from hocket.broker.roles import WORKER
from hocket.errors import UsageError
from hocket.instance.crew import Crew
from hocket.instance.desk import Desk
from hocket.instance.hand import Adopted, Hand
from hocket.instance.limits import cores, open_files
from hocket.instance.listener import url_of
from hocket.instance.logs import set_up_logs
from hocket.instance.place import STOPPING
from hocket.instance.reloading import Reloader
from hocket.instance.roles import Role
from hocket.instance.signals import ends_with_terminal, is_cut_off, is_watched, leave
from hocket.instance.totals import Left
from hocket.settings import Settings

log = logging.getLogger("hocket")

SIGNALS: Final = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Plan(msgspec.Struct):
    """What a supervisor is told: the listening socket's fd, which processes there are to be, and
    how to start them.
    """

    listener: int
    roles: list[Role]
    command: list[str]
    about: str
    adopted: tuple[int, int] | None  # the pid and the control socket of a worker that is there
    left: int  # the fd of what the process left that this was before; -1: it was none
    stopping: bool
    reload: bool
    run_dir: str
    desk: int  # the fd of its socket; -1: it is to be made
    drain_time: float
    reload_timeout: float
    log_format: str
    log_level: str
    with_terminal: bool  # it ends when its terminal does
    watched: bool  # SIGINT is not for it


def supervise(
    listener: sockets.socket,
    settings: Settings,
    roles: list[Role],
    adopted: tuple[int, int] | None = None,
    left: Left | None = None,
    stopping: bool = False,
    reload: bool = False,
    desk: int = -1,
) -> None:
    """This process becomes the supervisor, with the pid that it has. Does not return.

    Args:
        roles: in the order in which they start; see `roles_of`.
        adopted: pid and control socket of a worker that this process has started and that serves.
        left: of this process, if it was a worker.
        stopping, reload: whether it has been told to stop, to reload.
        desk: the fd of the desk's socket, if this process has one.
    """
    block_signals()
    left_in = -1 if left is None else left.write()
    kept = [listener.fileno(), desk, left_in, *(adopted[1:] if adopted else ())]
    for fd in [fd for fd in kept if fd >= 0]:
        os.set_inheritable(fd, True)
    plan = Plan(
        listener.fileno(),
        roles,
        command(),
        describe(settings, roles),
        adopted,
        left_in,
        stopping,
        reload,
        settings.run_dir,
        desk,
        settings.drain_time,
        settings.reload_timeout,
        settings.log_format,
        settings.log_level,
        ends_with_terminal(),
        is_watched(),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    program = [sys.executable, "-m", __name__, msgspec.json.encode(plan).decode()]
    os.execv(sys.executable, program)  # noqa: S606 - no shell, and our own program


def block_signals() -> None:
    """Until the supervisor has its handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def command() -> list[str]:
    """How this program was started, from whatever folder it has gone to since."""
    words = sys.orig_argv[1:]
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and sys.argv[0] in words:
        words[words.index(sys.argv[0])] = str(Path(script).absolute())
    return [sys.executable, *words]


def describe(settings: Settings, roles: list[Role]) -> str:
    """Which processes, and why so many workers."""
    counts = {role.name: role.count for role in roles}
    workers = counts.pop(WORKER)
    text = "1 worker" if workers == 1 else f"{workers} workers"
    if settings.workers == 0 and workers == cores():
        text += ": one for each core"
    elif workers > (settings.workers or cores()):
        text += (
            f": max_connections={settings.max_connections} takes so many where a process may "
            f"open {open_files()} files"
        )
    return ", ".join([text, *[f"{name} processes: {count}" for name, count in counts.items()]])


class Supervisor:
    """Runs a plan."""

    def __init__(self, plan: Plan, listener: sockets.socket) -> None:
        self._plan = plan
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._crew = Crew(plan.roles, plan.command, listener)
        self._left = Left.read(plan.left) if plan.left >= 0 else Left()
        self._crew.totals.add(self._left.ended)
        self._reloader = Reloader(self._crew, plan.reload_timeout + plan.drain_time)
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGINT or SIGTERM; the exit status. Raises UsageError."""
        desk = self._make_desk()
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        if self._plan.watched:
            signal.signal(signal.SIGINT, leave)
        else:
            self._loop.add_signal_handler(signal.SIGINT, self._stop)
        self._loop.add_signal_handler(signal.SIGCHLD, self._crew.look)
        self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        failed = None
        if self._plan.adopted is not None:
            self._adopt(*self._plan.adopted)
        else:
            failed = await self._begin()
        if failed is None:
            if desk is not None:
                desk.open()
            await self._stopping.wait()
        await self._end()
        if desk is not None:
            desk.close()
        return 0 if failed is None or self._stopping.is_set() else failed.process.returncode or 1

    async def _begin(self) -> Hand | None:
        """Start all; one that cannot be started."""
        for role in self._plan.roles:
            if (failed := await self._crew.start(role)) is not None:
                return failed
        self._crew.serve()
        self._reloader.look()
        print(f"Hocket serves {url_of(self._listener)}", flush=True)
        log.info(self._plan.about)
        return None

    def _adopt(self, pid: int, control: int) -> None:
        """A worker that serves already."""
        socket = sockets.socket(fileno=control)
        socket.set_inheritable(False)
        self._crew.adopt(Adopted(pid), socket, self._left)
        if self._plan.stopping:
            self._stop()
        elif self._plan.reload:
            self._reloader.soon()

    def _make_desk(self) -> Desk | None:
        acts = {"reload": self._reloader.reload, "drain": self._drain}
        plan = self._plan
        return Desk(plan.run_dir, acts, self._crew.hear, plan.desk) if plan.run_dir else None

    async def _drain(self) -> str:
        if not self._stopping.is_set():  # a second one changes nothing
            self._loop.call_soon(self._stop)
        return "draining"

    def _hung_up(self) -> None:
        if is_cut_off(self._plan.with_terminal):
            self._stop()
        else:
            self._reloader.soon()

    def _stop(self) -> None:
        """The first signal lets handlers end; a second one ends everything at once."""
        if self._stopping.is_set():
            self._crew.kill()
            return
        self._crew.stopping = True
        self._stopping.set()
        for hand in self._crew.everybody():
            if not hand.ready.done():
                hand.process.kill()

    async def _end(self) -> None:
        self._crew.stopping = True
        self._listener.close()  # who comes now is refused, and can try elsewhere
        others = [role.name for role in self._plan.roles if role.name != WORKER]
        await self._crew.stop(WORKER, STOPPING + self._plan.drain_time)
        for name in reversed(others):
            await self._crew.stop(name, STOPPING)


async def _run(plan: Plan) -> int:
    listener = sockets.socket(fileno=plan.listener)
    return await Supervisor(plan, listener).run()


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    set_up_logs(Settings(log_format=plan.log_format, log_level=plan.log_level))
    try:
        raise SystemExit(asyncio.run(_run(plan)))
    except UsageError as error:
        print("hocket:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
