"""An instance with roles that only a test has: `own`, a program without user code, ready before the
workers, and `extra`, this program run again, which starts after them. Each notes what happens to it
in the file that HOCKET_TEST_NOTES names.
"""

from __future__ import annotations

import os
import sys

from hocket import App
from hocket.broker.channel import framed
from hocket.broker.roles import WORKER
from hocket.instance.control import AnyMessage, Open, Ready, Retire, Took, encode
from hocket.instance.foreground import run
from hocket.instance.listener import open_listener
from hocket.instance.member import Member
from hocket.instance.members import MEMBERS
from hocket.instance.place import VARIABLE, Place, place_of_this
from hocket.instance.roles import Role
from hocket.instance.supervisor import supervise
from hocket.settings import load

NOTES = os.environ["HOCKET_TEST_NOTES"]


def note(*words: object) -> None:
    with open(NOTES, "a") as notes:
        print(*words, file=notes)


class Extra(Member):
    async def begin(self) -> None:
        await super().begin()
        note("extra", os.getpid(), "begins")

    def told(self, message: AnyMessage, files: list[int]) -> None:
        note("extra", os.getpid(), type(message).__name__)
        if isinstance(message, Open):
            self.say(Took())
        elif isinstance(message, Retire):
            self.end.set()

    async def finish(self) -> None:
        assert self.worker.broker is not None
        note("extra", os.getpid(), "ends, peers", len(self.worker.broker.peers))
        await super().finish()


def own(place: Place) -> None:
    """All that a program of ours must do: say that it is ready, and end with its supervisor."""
    note("own", os.getpid(), "begins")
    os.write(place.control, framed(encode(Ready())))
    while data := os.read(place.control, 65536):
        if data.endswith(b"\x91\x04"):  # Stop
            break
    note("own", os.getpid(), "ends")


def main() -> None:
    if "own" in sys.argv:
        place = place_of_this()
        assert place is not None
        own(place)
        return
    MEMBERS["extra"] = Extra
    app = App(port=0)
    settings = load(app.given)
    app.on_startup(lambda: note("hooks", os.getpid()))
    app.on_shutdown(lambda: note("hooks end", os.getpid()))
    if VARIABLE in os.environ:
        run(app, settings)
    else:
        program = [sys.executable, __file__, "own"]
        roles = [Role("own", program=program), Role(WORKER, 1), Role("extra", 2)]
        supervise(open_listener(settings), settings, roles)


if __name__ == "__main__":
    main()
