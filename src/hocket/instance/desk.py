"""The desk: a Unix socket in `run_dir`, where whoever runs this server asks something of it, and
where other processes of the machine hand in events (hocket.Emitter).

A client sends one line of JSON, `{"do": "reload"}`, and gets one: `{"done": "..."}` or
`{"error": "..."}`. After `{"do": "emit"}` the connection is a Channel of the broker's messages. The
socket belongs to its user alone (mode 0600): who may open it may do what that user may.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket as sockets
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.errors import UsageError

NAME: Final = "hocket.sock"
LINE: Final = 4_096  # bytes of a request
FINISH: Final = 1.0  # seconds for answers to leave before this process becomes another
FULL: Final = 1.0  # seconds until somebody is accepted again, where no more files may be opened
PATIENCE: Final = 5.0  # seconds in which a request must have come

Act = Callable[[], Awaitable[str]]


class Refused(Exception):
    """What was asked for cannot be done; why."""


class Desk:
    """Answers, from `open` on.

    Args:
        run_dir: the folder of the socket, made if it is not there.
        acts: what can be asked for, by name.
        emitter: gets the connection of an Emitter.
        fd: of the socket, where what this process was before has opened it; -1: it is to be made.

    Raises: UsageError when the socket cannot be there, or another server's is.
    """

    def __init__(
        self,
        run_dir: str,
        acts: Mapping[str, Act],
        emitter: Callable[[sockets.socket], None],
        fd: int = -1,
    ) -> None:
        self.path = Path(run_dir) / NAME
        self._acts = acts
        self._emitter = emitter
        self._socket = _bind(self.path, run_dir) if fd < 0 else sockets.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Whoever has come waits until now."""
        self._accepting = self._start(self._accept())

    def _start(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def leave(self) -> int:
        """Accept no more: who comes waits for the next process, which gets this fd."""
        if self._accepting is not None:
            self._accepting.cancel()
        return self._socket.fileno()

    async def finish(self) -> None:
        """After `leave`: let out the answers that there are. Who has asked for nothing yet is not
        waited for for long.
        """
        if serving := self._tasks - {self._accepting}:
            await asyncio.wait(serving, timeout=FINISH)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._socket)
            except OSError:  # no more open files, most likely
                await asyncio.sleep(FULL)
                continue
            client.setblocking(False)
            self._start(self._serve(client))

    async def _serve(self, client: sockets.socket) -> None:
        wrong = (OSError, TimeoutError, ValueError, msgspec.DecodeError)
        with contextlib.ExitStack() as ours, contextlib.suppress(*wrong):
            ours.enter_context(client)
            async with asyncio.timeout(PATIENCE):
                asked = msgspec.json.decode(await _line(client), type=dict[str, str])
            if asked.get("do") == "emit":
                ours.pop_all()  # it is the emitter's from now on
                self._emitter(client)
                return
            answer = msgspec.json.encode(await self._answer(asked.get("do", "")))
            await asyncio.get_running_loop().sock_sendall(client, answer + b"\n")

    async def _answer(self, do: str) -> dict[str, str]:
        if do not in self._acts:
            return {"error": f"{do!r} is none of {', '.join(self._acts)}"}
        try:
            return {"done": await self._acts[do]()}
        except Refused as refused:
            return {"error": str(refused)}

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._socket.close()
        self.path.unlink(missing_ok=True)


def settle(asked: list[asyncio.Future[str]], outcome: str | Refused) -> None:
    """Tell all who wait for it how something went."""
    for future in asked:
        if future.done():
            continue
        if isinstance(outcome, Refused):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


async def _line(client: sockets.socket) -> bytes:
    """Byte by byte: what follows the line is somebody else's to read."""
    loop, line = asyncio.get_running_loop(), b""
    while not line.endswith(b"\n"):
        byte = await loop.sock_recv(client, 1)
        line += byte
        if not byte or len(line) > LINE:
            raise ValueError("no line")
    return line


def _bind(path: Path, run_dir: str) -> sockets.socket:
    listener = sockets.socket(sockets.AF_UNIX)
    listener.setblocking(False)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_served(run_dir):
            raise UsageError(f"run_dir: another server uses {path}")
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen()
    except OSError as error:
        listener.close()
        raise UsageError(f"run_dir: {path}: {error.strerror or error}") from None
    except UsageError:
        listener.close()
        raise
    return listener


def is_served(run_dir: str | os.PathLike[str]) -> bool:
    """Whether a server answers there."""
    with sockets.socket(sockets.AF_UNIX) as client:
        try:
            client.connect(str(Path(run_dir) / NAME))
        except OSError:
            return False
    return True


def connect(
    run_dir: str | os.PathLike[str], do: str, timeout: float | None = None
) -> sockets.socket:
    """A connection to the desk of a running server, with a request sent; it blocks.

    Args:
        timeout: seconds that it may take; None: as long as the server needs.

    Raises: UsageError when no server answers there, TimeoutError.
    """
    path = Path(run_dir) / NAME
    with contextlib.ExitStack() as ours:
        client = ours.enter_context(sockets.socket(sockets.AF_UNIX))
        try:
            if timeout is not None:  # by the kernel: `settimeout` does not wait behind others
                seconds, rest = divmod(max(timeout, 1e-6), 1)
                limit = struct.pack("ll", int(seconds), int(rest * 1e6))
                client.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDTIMEO, limit)
            _connect(client, str(path), timeout)
            client.sendall(msgspec.json.encode({"do": do}) + b"\n")
        except BlockingIOError:
            raise TimeoutError from None
        except OSError as error:
            raise UsageError(
                f"no server answers at {path} ({error.strerror or error}): "
                "start it with --run-dir, and name the same folder here"
            ) from None
        ours.pop_all()
    return client


def _connect(client: sockets.socket, path: str, timeout: float | None) -> None:
    """Again after each signal that breaks it off: Python takes such a `connect` for one that goes
    on by itself (PEP 475), which those of Unix sockets do not. Raises OSError.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        client.connect(path)
        try:
            client.getpeername()
            return
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        if end is not None and time.monotonic() >= end:
            raise BlockingIOError


def ask(run_dir: str, do: str) -> str:
    """Ask a running server for something and wait until it is done; what it says.

    Raises: UsageError when it cannot be asked, Refused when it does not do it.
    """
    try:
        with connect(run_dir, do) as client, client.makefile("rb") as answers:
            line = answers.readline()
    except OSError:
        line = b""
    if not line:
        raise Refused("the server ended before it answered")
    answer = msgspec.json.decode(line, type=dict[str, str])
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["done"]
