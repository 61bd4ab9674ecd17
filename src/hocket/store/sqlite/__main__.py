"""`python -m hocket.store.sqlite DIR`: keep the store in a folder until SIGTERM, or until standard
input ends: so it goes with whoever started it, however that ends. It prints `ready`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from hocket.errors import UsageError
from hocket.store.sqlite.process import keep


async def main(directory: Path) -> None:
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end.set)
    loop.add_reader(0, lambda: None if os.read(0, 4096) else end.set())
    await keep(directory, lambda: print("ready", flush=True), end)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except UsageError as error:
        print("hocket:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None
