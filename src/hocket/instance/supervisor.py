"""The Supervisor: owns the listening socket, starts the workers and joins them to each other,
replaces those that die, stops them all.

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
import time
from typing import Final

import msgspec

from hocket.instance.control import AnyMessage, GiveWay, Hear, Open, Peer, Ready, Stop
from hocket.instance.desk import Desk, Refused, settle
from hocket.instance.hand import Adopted, Hand
from hocket.instance.limits import open_files
from hocket.instance.listener import url_of
from hocket.instance.logs import set_up_logs
from hocket.settings import Settings

log = logging.getLogger("hocket")

SIGNALS: Final = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
STEADY: Final = 10.0  # seconds after which a worker's death is not a failure to start
SLOWEST: Final = 10.0  # seconds between two tries to replace a worker
STARTING: Final = 60.0  # seconds that new code may take to start when it is reloaded
STOPPING: Final = 20.0  # seconds that workers may take to stop


class Plan(msgspec.Struct):
    """What a supervisor is told: the listening socket's fd, how many workers, how to start one."""

    listener: int
    workers: int
    command: list[str]
    about: str
    adopted: tuple[int, int] | None  # the pid and the control socket of a worker that is there
    stopping: bool
    reload: bool
    run_dir: str
    desk: int  # the fd of its socket; -1: it is to be made
    drain_time: float
    log_format: str
    log_level: str


def supervise(
    listener: sockets.socket,
    settings: Settings,
    workers: int,
    adopted: tuple[int, int] | None = None,
    stopping: bool = False,
    reload: bool = False,
    desk: int = -1,
) -> None:
    """This process becomes the supervisor, with the pid that it has. Does not return.

    Args:
        adopted: pid and control socket of a worker that this process has started and that serves.
        stopping, reload: whether it has been told to stop, to reload.
        desk: the fd of the desk's socket, if this process has one.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the supervisor has its handlers
    kept = [listener.fileno(), desk, *(adopted[1:] if adopted else ())]
    for fd in [fd for fd in kept if fd >= 0]:
        os.set_inheritable(fd, True)
    plan = Plan(
        listener.fileno(),
        workers,
        command(),
        describe(settings, workers),
        adopted,
        stopping,
        reload,
        settings.run_dir,
        desk,
        settings.drain_time,
        settings.log_format,
        settings.log_level,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    program = [sys.executable, "-m", __name__, msgspec.json.encode(plan).decode()]
    os.execv(sys.executable, program)  # noqa: S606 - no shell, and our own program


def command() -> list[str]:
    """How this program was started."""
    return [sys.executable, *sys.orig_argv[1:]]


def describe(settings: Settings, workers: int) -> str:
    """How many workers, and why so many."""
    if workers == settings.workers:
        return f"{workers} workers"
    return (
        f"{workers} workers: max_connections={settings.max_connections} takes so many where a "
        f"process may open {open_files()} files"
    )


class Supervisor:
    """Runs a plan."""

    def __init__(self, plan: Plan, listener: sockets.socket) -> None:
        self._plan = plan
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._hands: dict[int, Hand] = {}
        self._leaving: set[Hand] = set()  # have given their place to another, or are to take one
        self._delays: dict[int, float] = {}
        self._reloading: asyncio.Task[None] | None = None
        self._again = False
        self._asked: list[asyncio.Future[str]] = []
        self._serving = False
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> int:
        """Until SIGINT or SIGTERM; the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._stop)
        self._loop.add_signal_handler(signal.SIGCHLD, self._look)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        failed = desk = None
        if self._plan.adopted is not None:
            self._adopt(*self._plan.adopted)
        else:
            failed = await self._begin()
        if failed is None:
            desk = self._open_desk()
            await self._stopping.wait()
        await self._end()
        if desk is not None:
            desk.close()
        return 0 if failed is None or self._stopping.is_set() else failed.process.returncode or 1

    async def _begin(self) -> Hand | None:
        """Start all workers; one that cannot be started. One first: what is wrong with an
        application is said once, not by every worker.
        """
        first = self._start(0)
        others = []
        if await first.ready:
            others = [self._start(number) for number in range(1, self._plan.workers)]
            for hand in others:
                await hand.ready
        failed = next((hand for hand in (first, *others) if not hand.is_ready), None)
        if failed is None:
            self._serve()
            print(f"Hocket serves {url_of(self._listener)}", flush=True)
            log.info(self._plan.about)
        return failed

    def _adopt(self, pid: int, control: int) -> None:
        """A worker that serves already."""
        socket = sockets.socket(fileno=control)
        socket.set_inheritable(False)
        hand = self._hands[0] = Hand(0, Adopted(pid), socket, self._told)
        hand.ready.set_result(True)
        self._serve()
        self._look()  # it may have ended meanwhile
        if self._plan.stopping:
            self._stop()
        elif self._plan.reload:
            self._reload_soon()

    def _open_desk(self) -> Desk | None:
        acts = {"reload": self.reload, "drain": self._drain}
        plan = self._plan
        return Desk(plan.run_dir, acts, self._hear, plan.desk) if plan.run_dir else None

    async def _drain(self) -> str:
        self._loop.call_soon(self._stop)
        return "draining"

    def _hear(self, emitter: sockets.socket) -> None:
        """An Emitter has come: some worker takes it on."""
        ready = [hand for hand in self._hands.values() if hand.is_ready]
        if ready:
            ready[0].tell(Hear(), emitter.detach())
        emitter.close()

    def _serve(self) -> None:
        self._serving = True
        for hand in self._hands.values():
            hand.tell(Open())

    # Workers come

    def _start(self, number: int) -> Hand:
        hand = self._hands[number] = self._launch(number)
        return hand

    def _launch(self, number: int, old: sockets.socket | None = None) -> Hand:
        return Hand.launch(number, self._plan.command, self._listener, self._told, old=old)

    def _told(self, hand: Hand, message: AnyMessage) -> None:
        if isinstance(message, Ready) and hand not in self._leaving:
            for other in self._hands.values():
                if other is not hand and other.is_ready:
                    _introduce(hand, other)
            if self._serving:
                hand.tell(Open())
                log.info("worker %d is there again", hand.number)

    # And go

    def _look(self) -> None:
        """Some child has ended."""
        for hand in (*self._hands.values(), *self._leaving):
            if hand.process.poll() is not None:
                self._gone(hand)
        if not self._hands and not self._leaving:
            self._ended.set()

    def _gone(self, hand: Hand) -> None:
        hand.gone()
        if hand in self._leaving:
            self._leaving.discard(hand)
        else:
            del self._hands[hand.number]
            if self._serving and not self._stopping.is_set():
                self._replace(hand)

    # Reload

    def _reload_soon(self) -> None:
        self._again = True  # also while one is under way, which may have read older code
        if self._serving and (self._reloading is None or self._reloading.done()):
            self._reloading = self._loop.create_task(self._reload_all())

    async def reload(self) -> str:
        """What the desk is asked for: reload, and say how it went. Raises Refused."""
        outcome: asyncio.Future[str] = self._loop.create_future()
        self._asked.append(outcome)
        self._reload_soon()
        return await outcome

    async def _reload_all(self) -> None:
        while self._again and not self._stopping.is_set():
            self._again = False
            asked, self._asked = self._asked, []
            try:
                settle(asked, await self._reload())
            except Refused as refused:
                log.error("%s", refused)
                settle(asked, refused)

    async def _reload(self) -> str:
        """One worker after the other gives its place to a process with the code that is on disk
        now. If that does not start, all stays as it is.
        """
        began = time.monotonic()
        for number in sorted(self._hands):
            if self._stopping.is_set():
                raise Refused("not reloaded: the server stops")
            await self._renew(number)
        done = f"reloaded: workers {len(self._hands)}, seconds {time.monotonic() - began:.1f}"
        log.info("%s", done)
        return done

    async def _renew(self, number: int) -> None:
        ours, theirs = sockets.socketpair()
        with theirs:
            new = self._launch(number, theirs)
        self._leaving.add(new)
        with ours:
            timer = self._loop.call_later(STARTING, new.process.kill)
            ready = await new.ready
            timer.cancel()
            old = self._hands.get(number)
            if not ready or old is None or not old.is_ready:
                new.process.kill()
                why = "a worker has ended" if ready else "the new code does not start"
                raise Refused(f"not reloaded: {why}; everything goes on as it was")
            old.tell(GiveWay(), ours.detach())
        self._leaving.add(old)
        self._hands[number] = new
        self._leaving.discard(new)
        if await new.took:
            new.tell(Open())

    def _replace(self, hand: Hand) -> None:
        steady = time.monotonic() - hand.began >= STEADY
        delay = self._delays.get(hand.number, 0.0)
        self._delays[hand.number] = 0.1 if steady else min(SLOWEST, max(0.1, delay * 2))
        delay = 0.0 if steady else delay
        log.error(
            "worker %d ended (%s), its clients with it; another starts in %.1f s",
            hand.number,
            _how(hand.process.returncode),
            delay,
            extra={"worker": hand.number, "pid": hand.process.pid},
        )
        self._loop.call_later(delay, self._start_again, hand.number)

    def _start_again(self, number: int) -> None:
        if not self._stopping.is_set():
            self._start(number)

    def _stop(self) -> None:
        """The first signal lets handlers end; a second one ends everything at once."""
        if self._stopping.is_set():
            self._kill()
            return
        self._stopping.set()
        for hand in (*self._hands.values(), *self._leaving):
            if not hand.ready.done():
                hand.process.kill()

    def _kill(self) -> None:
        for hand in (*self._hands.values(), *self._leaving):
            hand.process.kill()

    async def _end(self) -> None:
        for hand in (*self._hands.values(), *self._leaving):
            hand.tell(Stop())
        if self._hands or self._leaving:
            timer = self._loop.call_later(STOPPING + self._plan.drain_time, self._kill)
            await self._ended.wait()
            timer.cancel()


def _introduce(one: Hand, other: Hand) -> None:
    """A link between two workers."""
    ends = sockets.socketpair()
    one.tell(Peer(other.number), ends[0].detach())
    other.tell(Peer(one.number), ends[1].detach())


def _how(status: int | None) -> str:
    status = status or 0
    return f"signal {-status}" if status < 0 else f"status {status}"


async def _run(plan: Plan) -> int:
    listener = sockets.socket(fileno=plan.listener)
    return await Supervisor(plan, listener).run()


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    set_up_logs(Settings(log_format=plan.log_format, log_level=plan.log_level))
    raise SystemExit(asyncio.run(_run(plan)))


if __name__ == "__main__":
    main()
