"""A push to every user's device: one call, and a job to wait for.

The server (a worker, the store, the delivery) runs as it does for everybody; what is timed is the
call and the wait, from inside it.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from urllib.error import URLError

from hocket import App, Audience, Notification
from hocket.providers.base import Delivered, Limits, Outcome, Push, Retry
from hocket.store.base import RegisterDevice


class Stand:
    """The provider of this comparison: one JSON body for each push."""

    name = "stand"
    limits = Limits(concurrency=128)
    client = None

    def __init__(self, url: str) -> None:
        self.url = url

    def check(self, token: str) -> str:
        return token

    async def send(self, push: Push) -> Outcome:
        import aiohttp  # lazy: only the process that delivers sends

        self.client = self.client or aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.limits.concurrency)
        )
        body = {"token": push.token, "title": push.title, "body": push.body}
        async with self.client.post(self.url, json=body) as answer:
            await answer.read()
            return Delivered() if answer.status == 200 else Retry(f"HTTP {answer.status}")

    async def close(self) -> None:
        if self.client:
            await self.client.close()


def serve(port: int, provider: int, users: int, folder: str) -> None:
    app = App(data=folder)
    app.provider(Stand(f"http://127.0.0.1:{provider}/count"))

    @app.get("/prepare")
    async def prepare() -> dict[str, int]:
        store, now = app.store, time.time()
        assert store is not None
        for first in range(0, users, 500):
            batch = [
                RegisterDevice(f"user-{user}", "stand", f"device-{user}", now)
                for user in range(first, min(first + 500, users))
            ]
            await asyncio.gather(*map(store.do, batch))
        return {"devices": users}

    @app.get("/push")
    async def push() -> dict[str, float]:
        began = time.perf_counter()
        sale = Notification(title="Sale", body="Everything must go")
        job = await app.notify(Audience.all(), sale)
        status = await job.wait(timeout=600)
        return {"seconds": time.perf_counter() - began, "failed": users - status.delivered}

    app.run(port=port)


def ask(port: int, path: str) -> str:
    for _ in range(500):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.read().decode()
        except URLError:  # it has not started yet
            time.sleep(0.02)
    sys.exit("push: the server did not start")


def main(provider: str, users: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "serve", str(port), provider, users, folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            ask(port, "/prepare")
            print(ask(port, "/push"), flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*map(int, sys.argv[2:5]), sys.argv[5])
    else:
        main(*sys.argv[1:])
