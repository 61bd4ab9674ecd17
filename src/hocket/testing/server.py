"""A running app for tests: on a free port, in the test's own event loop, without signals
or output.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hocket.app import App
from hocket.instance.listener import open_listener, url_of
from hocket.instance.worker import Worker
from hocket.settings import Settings, load


@asynccontextmanager
async def serve(
    app: App, make_worker: Callable[[App, Settings], Worker] = Worker, **settings: Any
) -> AsyncIterator[str]:
    """Serve `app` while the block runs; gives its URL, such as `http://127.0.0.1:40123`.

        async with hocket.testing.serve(app) as url:
            ...

    Args:
        settings: any rows of the settings table; `port` is 0 unless given. The environment and
            hocket.toml do not count.
    """
    loaded = load({**app.given, "port": 0, **settings}, environ={}, file=None)
    listener = open_listener(loaded)
    worker = make_worker(app, loaded)
    await worker.start(listener)
    try:
        yield url_of(listener)
    finally:
        await worker.stop()
