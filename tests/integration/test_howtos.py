"""The programs in docs/howto: they run, and do what the page says."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import socketio

from hocket import App
from hocket.testing import serve
from tests.integration.programs import ROOT

HOWTO = ROOT / "docs/howto"


def programs(page: str) -> list[dict[str, Any]]:
    """What each Python block of a page defines."""
    found = []
    for block in re.findall(r"^```python\n(.*?)^```$", (HOWTO / page).read_text(), re.M | re.S):
        names: dict[str, Any] = {"__name__": "program"}
        exec(compile(block, page, "exec"), names)
        found.append(names)
    return found


def test_tests_of_an_app_and_of_views_that_emit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    delivered, told = programs("test-your-app.md")
    delivered["test_a_message_is_delivered"]()
    told["test_a_new_price_is_told"]()


def test_what_came_from_python_socketio() -> None:
    (program,) = programs("from-python-socketio.md")
    asyncio.run(talk(program["app"]))


async def talk(app: App) -> None:
    heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    ada, bob, eve = (socketio.AsyncClient(reconnection=False) for _ in range(3))
    for event in ("joined", "notice"):
        ada.on(event, lambda *args, event=event: heard.put_nowait((event, *args)))
    ada.on("who", lambda: "ada")
    async with serve(app) as url:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await eve.connect(url)
        await ada.connect(url, auth={"name": "ada"})
        assert await ada.call("join", "kitchen") == []
        await bob.connect(url, auth={"name": "bob"}, namespaces=["/", "/admin"])
        assert await bob.call("join", "kitchen") == ["ada"]
        assert await asyncio.wait_for(heard.get(), 10) == ("joined", "bob")
        await bob.emit("notice", ("kitchen", "tea"), namespace="/admin")
        assert await asyncio.wait_for(heard.get(), 10) == ("notice", "tea")
        await ada.disconnect()
        await bob.disconnect()
