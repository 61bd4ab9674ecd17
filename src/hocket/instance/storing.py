"""`python -m hocket.instance.storing DIR`: the store's process of an instance. It runs no code of
the user, and goes when the supervisor says so or has gone.
"""

from __future__ import annotations

import asyncio
import socket as sockets
import sys
from pathlib import Path

from hocket.broker.channel import Channel, close_files
from hocket.errors import UsageError
from hocket.instance.control import Ready, Stop, decode, encode
from hocket.instance.place import Place, leave_signals, place_of_this
from hocket.store.sqlite.process import keep


async def store(directory: Path, place: Place) -> None:
    """Until the end of it. Raises UsageError for a folder that cannot be used."""
    leave_signals()
    end = asyncio.Event()

    def told(data: bytes, files: list[int]) -> None:
        close_files(files)
        if isinstance(decode(data), Stop):
            end.set()

    control = sockets.socket(fileno=place.control)
    supervisor = Channel(asyncio.get_running_loop(), control, told, end.set)
    await keep(directory, lambda: supervisor.send(encode(Ready())), end)


def main() -> None:
    place = place_of_this()
    if place is None:
        raise SystemExit("hocket: this program is part of a server: start that (hocket serve)")
    try:
        asyncio.run(store(Path(sys.argv[1]), place))
    except UsageError as error:
        print("hocket:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
