"""The inbox and live events against a simple model: through any history of clients that come and
go, notifications at once and scheduled, stores and workers that are started again and reloads, a
client is told what its inbox has, in that order, each once. Some have switched a topic off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hocket import App, Audience, Notification, Socket, store
from hocket.instance.keeping import Keeping
from hocket.instance.worker import Worker
from hocket.store.base import Inbox, JoinTopic, LeaveTopic, ReleaseDue, SetPreferences
from hocket.store.sqlite.process import keep
from tests.integration.test_sse import Listener
from tests.support import Gone, Site, WebSocketClient, asynchronous, serving_together, succeeding

USERS = ("ada", "bob", "eve")
NO_NOISE = b'{"topics":{"noise":{"inbox":false,"live":false}}}'


def make_app() -> App:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.user = auth["user"]

    return app


class Client:
    """One that remembers where it was, over WebSocket or Server-Sent Events."""

    def __init__(self, user: str, over_sse: bool) -> None:
        self.user = user
        self.over_sse = over_sse
        self.cursor: int | None = None
        self.told: list[int] = []
        self.wire: WebSocketClient | Listener | None = None

    async def come(self, site: Site, newest: int) -> None:
        if self.wire is not None:
            return
        if self.cursor is None:
            self.cursor = newest
        if self.over_sse:
            self.wire = await Listener.opened(
                site, f"/events?user={self.user}", f"Last-Event-ID: {self.cursor}"
            )
            assert self.wire.opening.startswith("HTTP/1.1 200 ")
        else:
            self.wire = client = await WebSocketClient.opened(site)
            await client.say("40" + json.dumps({"user": self.user, "after": self.cursor}))
            assert (await client.text()).startswith("40")

    async def hear(self) -> None:
        """One notification."""
        if isinstance(self.wire, Listener):
            while (event := await self.wire.event()).get("event") != "notification":
                pass
            seq = json.loads(event["data"])[0]["seq"]
            assert event["id"] == str(seq)
        else:
            assert self.wire is not None
            seq = json.loads((await self.wire.text()).removeprefix("42"))[1]["seq"]
        self.told.append(seq)
        self.cursor = seq

    async def hear_up_to(self, wanted: list[int]) -> None:
        if self.wire is not None:
            with contextlib.suppress(Gone):
                while len(self.told) < len(wanted):
                    await self.hear()
        assert self.told == wanted[: len(self.told)]

    def leave(self) -> None:
        if self.wire is not None:
            self.wire.close()
            self.wire = None


class History:
    """A server that lives through it, and the model: whom each notification is for, by `seq`."""

    def __init__(self, data: Path, sensitive: set[str]) -> None:
        self.data = data
        self.sensitive = sensitive
        self.clients = [Client(user, sse) for user in USERS for sse in (False, True)]
        self.released: list[set[str]] = []
        self.scheduled: list[tuple[float, set[str]]] = []
        self.known: set[str] = set()
        self.topic: set[str] = set()

    def wanted(self, client: Client, start: int) -> list[int]:
        every = enumerate(self.released, 1)
        return [seq for seq, users in every if client.user in users and seq > start]

    # The store

    async def open_store(self) -> None:
        self._end, ready = asyncio.Event(), asyncio.Event()
        self._keeping = asyncio.create_task(keep(self.data, ready.set, self._end))
        await ready.wait()

    async def close_store(self) -> None:
        self._end.set()
        await self._keeping

    # What happens

    async def live(self, acts: list[tuple[str, int]]) -> None:
        self._starts: dict[Client, int] = {}
        await self.open_store()
        try:
            async with AsyncExitStack() as stack:
                self.stack = stack
                await self.serve()
                for user in self.sensitive:
                    await self.store.do(SetPreferences(user, NO_NOISE))
                    self.known.add(user)
                for act, number in acts:
                    await getattr(self, act)(number)
                await self.check()
                for client in self.clients:
                    client.leave()
        finally:
            await self.close_store()

    async def serve(self) -> None:
        [self.site] = await self.stack.enter_async_context(serving_together(make_app, 1))
        assert self.site.app.store is not None
        self.store = self.site.app.store

    async def come(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
        self._starts.setdefault(client, len(self.released))
        await client.come(self.site, len(self.released))
        self.known.add(client.user)

    async def leave(self, number: int) -> None:
        """Perhaps before it has heard what was told to it."""
        client = self.clients[number % len(self.clients)]
        if client.wire is not None and number % 2:
            await client.hear_up_to(self.wanted(client, self._starts[client]))
        client.leave()

    async def notify(self, number: int) -> None:
        users, audience = self.audience(number)
        topic = self.topic_of(number)
        await self.site.app.notify(audience, Notification(title="x", topic=topic))
        self.released.append(users - self.sensitive if topic else users)

    async def schedule(self, number: int) -> None:
        users, audience = self.audience(number)
        at = time.time() + 100 + number
        topic = self.topic_of(number)
        await self.site.app.notify(
            audience, Notification(title="later", send_at=at, topic=topic, critical=number % 4 == 0)
        )
        wanted = users if number % 4 == 0 or not topic else users - self.sensitive
        self.scheduled.append((at, wanted))

    async def release(self, number: int) -> None:
        self.scheduled.sort(key=lambda each: each[0])
        due, self.scheduled = self.scheduled[:1], self.scheduled[1:]
        for at, users in due:
            same = [each for each in self.scheduled if each[0] <= at]
            self.scheduled = [each for each in self.scheduled if each not in same]
            await self.store.do(ReleaseDue(at))
            self.released += [users, *[each[1] for each in same]]

    async def join(self, number: int) -> None:
        user = USERS[number % 3]
        await self.store.do(JoinTopic("news", user))
        self.topic.add(user)
        self.known.add(user)

    async def quit(self, number: int) -> None:
        user = USERS[number % 3]
        await self.store.do(LeaveTopic("news", user))
        self.topic.discard(user)

    async def restart_store(self, number: int) -> None:
        await self.close_store()
        await self.open_store()

    async def restart_worker(self, number: int) -> None:
        """Its clients lose their connections, and what was on the way to them."""
        for client in self.clients:
            client.leave()
        await self.stack.pop_all().aclose()
        await self.serve()

    async def reload(self, number: int) -> None:
        new = make_app()
        await self.stack.enter_async_context(succeeding(self.site, new))
        self.site.app = new
        assert new.store is not None
        self.store = new.store

    def topic_of(self, number: int) -> str:
        return "noise" if number % 3 == 0 else ""

    def audience(self, number: int) -> tuple[set[str], Audience]:
        named = {user for at, user in enumerate(USERS) if number >> at & 1}
        if number % 5 == 0:
            return set(self.topic), Audience.topic("news")
        if number % 5 == 1:
            return set(self.known), Audience.all()
        if number % 5 == 2:
            return {*self.known, *named}, Audience.all() | Audience.users("zoe", *sorted(named))
        return named, Audience.users("zoe", *sorted(named))

    async def check(self) -> None:
        for client in self._starts:
            await client.come(self.site, 0)
        # The last thing is for all, so that one too many before it is noticed.
        await self.site.app.notify(Audience.users(*USERS), Notification(title="end"))
        self.released.append(set(USERS))
        for client in self.clients:
            inbox = await self.store.do(Inbox(client.user, after=0, limit=1000))
            assert [row.seq for row in inbox] == self.wanted(client, 0)
        for client, start in self._starts.items():
            await client.hear_up_to(self.wanted(client, start))
            assert client.told == self.wanted(client, start)


@contextlib.contextmanager
def kept_at(data: Path) -> Iterator[None]:
    async def keep_there(worker: Worker) -> Keeping:
        keeping = Keeping(worker.app, store.connect(data))
        keeping.attend(worker.hub)
        return keeping

    with mock.patch.object(Worker, "keep", keep_there):
        yield


ACTS = ("come", "leave", "notify", "schedule", "release", "join", "quit")
RARE = ("restart_store", "restart_worker", "reload")


# Long ones: hypothesis likes short histories, in which next to nothing happens.
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTS * 3 + ("come", "notify") * 4 + RARE), st.integers(0, 63)),
        min_size=40,
        max_size=60,
    ),
    st.sets(st.sampled_from(USERS)),
)
def test_clients_are_told_what_their_inboxes_have(
    acts: list[tuple[str, int]], sensitive: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder, kept_at(Path(folder, "data")):
        asynchronous(History(Path(folder, "data"), sensitive).live)(acts)


def test_a_client_that_moves_on_at_once_is_told_all_the_same(tmp_path: Path) -> None:
    """A second reload, before the process in between has asked the store who the client is."""
    acts = [("come", 0), ("come", 1), ("notify", 6), ("reload", 0), ("reload", 0)]
    with kept_at(tmp_path / "data"):
        asynchronous(History(tmp_path / "data", set()).live)(acts)
