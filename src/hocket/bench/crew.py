"""The processes of the load generator, as the conductor sees them: started, told, listened to.

They are forks of the conductor, taken while it is small: 50 of them share nearly all their memory.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket as sockets
import time
import traceback
from collections import deque
from collections.abc import Iterator
from typing import Final

from hocket.bench import process
from hocket.bench.messages import AnyMessage, Message, Progress, decode, encode
from hocket.bench.plan import SECOND, Plan
from hocket.errors import UsageError

LOOK: Final = 250  # milliseconds between two looks at whether it was interrupted
WAIT: Final = 10  # milliseconds between two tries to tell a process that has not heard enough yet
PATIENCE: Final = 5.0  # seconds that processes have to end


class Interrupted(Exception):
    """Ctrl-C, or SIGTERM."""


class Member:
    """One process."""

    def __init__(self, number: int, pid: int, channel: sockets.socket) -> None:
        self.number = number
        self.pid = pid
        self.channel = channel
        self.progress = Progress(0, 0, 0, 0, 0)
        self.is_there = True


class Crew:
    """All processes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.members: list[Member] = []
        self.is_interrupted = False
        self._poll = select.poll()
        self._by_fd: dict[int, Member] = {}
        self._heard: deque[tuple[Member, AnyMessage]] = deque()

    def start(self) -> None:
        gc.freeze()  # what the forks share is not to be touched by their collectors
        try:
            for number in range(self._plan.processes):
                self._fork(number)
        except OSError as error:
            self.end()
            raise UsageError(
                f"only {len(self.members)} of {self._plan.processes} processes start: "
                f"{error.strerror}"
            ) from None
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._interrupt)

    def _interrupt(self, number: int, frame: object) -> None:
        if self.is_interrupted:
            raise KeyboardInterrupt  # nobody waits for the second one
        self.is_interrupted = True

    def _fork(self, number: int) -> None:
        ours, theirs = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            ours.close()
            for member in self.members:
                member.channel.close()
            self._be(number, theirs)
        theirs.close()
        member = Member(number, pid, ours)
        self.members.append(member)
        self._by_fd[ours.fileno()] = member
        self._poll.register(ours, select.POLLIN)

    def _be(self, number: int, channel: sockets.socket) -> None:
        status = 1
        try:
            process.run(self._plan, number, channel)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    # Talk

    @property
    def there(self) -> list[Member]:
        return [member for member in self.members if member.is_there]

    def tell(self, message: Message, members: list[Member] | None = None) -> None:
        """Raises Interrupted, while a process hears nothing."""
        data = encode(message)
        for member in self.there if members is None else members:
            while member.is_there and not self._tell(member, data):
                self._check()
                self._listen(WAIT)  # it may wait for us to hear it

    def _tell(self, member: Member, data: bytes) -> bool:
        try:
            member.channel.send(data, sockets.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self._gone(member)
        return True

    def messages(self, until: int) -> Iterator[tuple[Member, AnyMessage]]:
        """What they say, until a time (nanoseconds), or until none is left; what they have said
        already also after it. Raises Interrupted.
        """
        is_over = False
        while True:
            self._check()
            while self._heard:
                yield self._heard.popleft()
            if is_over or not self.there:
                return
            left = until - time.monotonic_ns()
            is_over = left <= 0
            self._listen(max(0, min(LOOK, left // 1_000_000 + 1)))

    def _check(self) -> None:
        if self.is_interrupted:
            raise Interrupted

    def _listen(self, wait: int) -> None:
        """Hear each that has something to say within so many milliseconds."""
        for fd, _ in self._poll.poll(wait):
            member = self._by_fd[fd]
            if (message := self._hear(member)) is not None:
                self._heard.append((member, message))

    def _hear(self, member: Member) -> AnyMessage | None:
        try:
            data = member.channel.recv(process.SAID)
        except OSError:
            data = b""
        if not data:
            self._gone(member)
            return None
        message: AnyMessage = decode(data)
        if isinstance(message, Progress):
            member.progress = message
        return message

    def _gone(self, member: Member) -> None:
        if member.is_there:
            member.is_there = False
            self._poll.unregister(member.channel)

    # Together

    @property
    def ready(self) -> int:
        return sum(member.progress.ready for member in self.there)

    @property
    def received(self) -> int:
        return sum(member.progress.received for member in self.members)

    @property
    def failed(self) -> int:
        return sum(member.progress.failed for member in self.members)

    def end(self) -> None:
        """Wait for their end; those that take too long are killed."""
        for member in self.members:
            member.channel.close()  # without it a process ends by itself
        deadline = time.monotonic() + PATIENCE
        for member in self.members:
            while not os.waitpid(member.pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os.kill(member.pid, signal.SIGKILL)
                    os.waitpid(member.pid, 0)
                    break
                time.sleep(0.005)


def soon(seconds: float = 0.02) -> int:
    """A time that everybody can be told of before it has come."""
    return time.monotonic_ns() + int(seconds * SECOND)
