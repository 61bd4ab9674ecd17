"""Many tasks that wait."""

import asyncio
import sys

import uvloop


async def task(forever: asyncio.Event) -> None:
    await forever.wait()


async def main(count: int) -> None:
    forever = asyncio.Event()
    tasks = [asyncio.create_task(task(forever)) for _ in range(count)]
    await asyncio.sleep(0)
    print(f"{len(tasks)} wait", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
