"""Live notifications: what a worker's clients are told, when, and how often."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hocket import App, Audience, Notification, Socket
from hocket.instance.keeping import Keeping
from hocket.instance.worker import Worker
from hocket.notify.live import Live
from hocket.notify.residents import Residents
from hocket.store import base
from tests.integration.test_sse import Listener
from tests.memory_store import MemoryStore
from tests.support import (
    PollingClient,
    Site,
    WebSocketClient,
    Wire,
    asynchronous,
    eventually,
    serving,
    serving_together,
    succeeding,
    turns,
)


def make_app() -> App:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.user = auth.get("user", "")

    @app.on("rooms")
    def rooms(socket: Socket) -> list[str]:
        return sorted(socket.rooms - {socket.id})

    return app


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The one that every worker of the test has."""
    store = MemoryStore()

    async def keep(worker: Worker) -> Keeping:
        keeping = Keeping(worker.app, store)
        keeping.attend(worker.hub)
        return keeping

    monkeypatch.setattr(Worker, "keep", keep)
    return store


@pytest.fixture(autouse=True)
def _wires_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also those of tests that fail."""
    wires: list[Wire] = []
    init = Wire.__init__

    def noted(wire: Wire, host: str) -> None:
        init(wire, host)
        wires.append(wire)

    monkeypatch.setattr(Wire, "__init__", noted)
    yield
    for wire in wires:
        wire.close()


class Client(WebSocketClient):
    """One that remembers where it was."""

    after: int | None = None

    @classmethod
    async def come(cls, site: Site, user: str, after: Any = None) -> Client:
        client = await cls.opened(site)
        await client.enter(user, after)
        return client

    async def enter(self, user: str, after: Any = None) -> None:
        auth = {"user": user} if after is None else {"user": user, "after": after}
        await self.say("40" + json.dumps(auth))
        answer = await self.text()
        assert answer.startswith('40{"sid":'), answer

    async def told(self) -> dict[str, Any]:
        event = await self.text()
        name, told = json.loads(event.removeprefix("42"))
        assert name == "notification"
        self.after = told["seq"]
        return dict(told)

    async def titles(self, count: int) -> list[str]:
        return [(await self.told())["title"] for _ in range(count)]

    async def is_told_nothing(self) -> bool:
        """Whether nothing came before the answer to a question that is asked now."""
        await self.say('420["rooms"]')
        heard = await self.text()
        assert heard == "430[[]]"
        return True


async def tell(site: Site, title: str, audience: Audience | None = None, **rest: Any) -> str:
    job = await site.app.notify(audience or Audience.all(), Notification(title=title, **rest))
    return job.id


@asynchronous
async def test_what_a_client_is_told(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        ada = await Client.come(site, "ada")
        id = await tell(site, "Hi", body="there", url="/x", icon="/i.png", data={"n": [1]})
        told = await ada.told()
        assert told.pop("at") == store.kept[id].at
        assert told == {
            "id": id,
            "seq": 1,
            "title": "Hi",
            "body": "there",
            "data": {"n": [1]},
            "url": "/x",
            "icon": "/i.png",
        }
        assert await ada.is_told_nothing()  # and its rooms are its own


@asynchronous
async def test_audiences(store: MemoryStore) -> None:
    async with serving_together(make_app) as sites:
        ada, bob = await Client.come(sites[0], "ada"), await Client.come(sites[1], "bob")
        nobody = await Client.come(sites[0], "")
        also_ada = await Client.come(sites[1], "ada")
        await store.do(_join("news", "bob"))
        await tell(sites[0], "to ada", Audience.users("ada"))
        await tell(sites[1], "to news", Audience.topic("news"))
        await tell(sites[0], "to both", Audience.topic("news") | Audience.users("ada", "bob"))
        await tell(sites[1], "to all")
        for client in (ada, also_ada):
            assert await client.titles(3) == ["to ada", "to both", "to all"]
        assert await bob.titles(3) == ["to news", "to both", "to all"]
        await tell(
            sites[0], "all and new ones", Audience.all() | Audience.users("eve", "bob", "kim")
        )
        for client in (ada, also_ada, bob):
            assert await client.titles(1) == ["all and new ones"]
        assert await nobody.is_told_nothing()
        assert await ada.is_told_nothing()
        ada.close()
        await eventually(lambda: sites[0].sessions == 1)
        await tell(sites[0], "again", Audience.users("ada"))
        assert await also_ada.titles(1) == ["again"]


def _join(topic: str, user: str) -> Any:
    from hocket.store.base import JoinTopic

    return JoinTopic(topic, user)


@asynchronous
async def test_a_large_audience_is_told_in_strides_and_in_order(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        users = [f"u{number:03}" for number in range(200)]
        clients = await asyncio.gather(*[Client.come(site, user) for user in users])
        for round_ in range(3):
            await tell(site, f"some {round_}", Audience.users(*users))
            await tell(site, f"all {round_}")
        wanted = [f"{who} {round_}" for round_ in range(3) for who in ("some", "all")]
        for client in clients:
            assert await client.titles(6) == wanted


@asynchronous
async def test_who_came_after_acceptance_is_told_nothing(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        ada = await Client.come(site, "ada")
        await tell(site, "later", send_at=time.time() + 1000)
        bob = await Client.come(site, "bob")
        from hocket.store.base import ReleaseDue

        await store.do(ReleaseDue(time.time() + 2000))
        await tell(site, "now")
        assert await ada.titles(2) == ["later", "now"]
        assert await bob.titles(1) == ["now"]


@asynchronous
async def test_a_client_that_comes_back_is_told_what_it_missed(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        ada = await Client.come(site, "ada")
        await tell(site, "one")
        assert await ada.titles(1) == ["one"]
        ada.close()
        for title in ("two", "three"):
            await tell(site, title)
        ada = await Client.come(site, "ada", ada.after)
        await tell(site, "four")
        assert await ada.titles(3) == ["two", "three", "four"]
        again = await Client.come(site, "ada", "2")  # text will do
        assert await again.titles(2) == ["three", "four"]
        assert await (await Client.come(site, "ada", 4)).is_told_nothing()


@asynchronous
async def test_pages_of_missed_ones_and_live_ones_meanwhile(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        await Client.come(site, "ada")
        for number in range(250):
            await tell(site, str(number))
        coming = asyncio.create_task(Client.come(site, "ada", 0))
        for number in range(250, 300):
            await tell(site, str(number))
        ada = await coming
        assert await ada.titles(300) == [str(number) for number in range(300)]
        assert await ada.is_told_nothing()


@asynchronous
async def test_events_that_are_late_are_not_told_twice(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        await Client.come(site, "ada")
        store.lag = True
        for title in ("one", "two", "three"):
            await tell(site, title, Audience.users("ada", "x1", "x2"))  # each in two parts
        store.let_out(4)  # one whole, and (behind its progress) half of two
        ada = await Client.come(site, "ada", 0)
        await turns(20)
        store.let_out()
        assert await ada.titles(3) == ["one", "two", "three"]
        assert await ada.is_told_nothing()


@asynchronous
async def test_a_cursor_that_is_none(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        wrong: list[Any] = ["x", -1, 1.5, True, "1" * 30, [1], {}]
        for bad in wrong:
            client = await WebSocketClient.opened(site)
            await client.say("40" + json.dumps({"user": "ada", "after": bad}))
            assert (await client.text()).startswith('44{"message":"after=')
        ada = await Client.come(site, "ada", 999)  # of another folder, or made up
        await tell(site, "one")
        assert await ada.titles(1) == ["one"]


@asynchronous
async def test_events_and_server_sent_events(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        listener = await Listener.opened(site, "/events?user=ada")
        assert await listener.event() == {"retry": "2000"}
        await tell(site, "one")
        told = await listener.event()
        assert (told["event"], told["id"]) == ("notification", "1")
        assert json.loads(told["data"])[0]["title"] == "one"
        listener.close()
        await tell(site, "two")
        back = await Listener.opened(site, "/events?user=ada", "Last-Event-ID: 1")
        await back.event()
        assert (await back.event())["id"] == "2"
        other = await Listener.opened(site, "/events?user=ada", "Last-Event-ID: tick-7")
        await other.event()
        await tell(site, "three")
        assert (await other.event())["id"] == "3"


@asynchronous
async def test_a_polling_client(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        for title in ("one", "two"):
            await tell(site, title, Audience.users("ada"))
        client = await PollingClient.opened(site)
        await client.post('40{"user":"ada","after":1}')
        packets = await client.hear()
        if len(packets) == 1:
            packets += await client.hear()
        assert packets[0].startswith("40")
        assert '"title":"two"' in packets[1]


@asynchronous
async def test_who_does_not_want_it_live_is_not_told(store: MemoryStore) -> None:
    """Now or later: in a broadcast, by name, as a topic, by Server-Sent Events, or coming back."""
    no_news = base.SetPreferences("ada", b'{"topics":{"news":{"live":false}}}')
    async with serving_together(make_app) as sites:
        await store.do(no_news)
        ada, bob = await Client.come(sites[0], "ada"), await Client.come(sites[0], "bob")
        also_ada = await Client.come(sites[1], "ada")
        listener = await Listener.opened(sites[1], "/events?user=ada")
        await tell(sites[0], "news to all", topic="news")
        await tell(sites[0], "news to ada", Audience.users("ada", "bob"), topic="news")
        await tell(sites[0], "urgent", topic="news", critical=True)
        await tell(sites[0], "other", Audience.users("ada", "bob"), topic="art")
        for client in (ada, also_ada):
            assert await client.titles(2) == ["urgent", "other"]
        assert await bob.titles(4) == ["news to all", "news to ada", "urgent", "other"]
        while (event := await listener.event()).get("event") != "notification":
            pass
        assert json.loads(event["data"])[0]["title"] == "urgent"
        back = await Client.come(sites[0], "ada", after=0)
        assert await back.titles(2) == ["urgent", "other"]
        # What is said takes effect while they are connected, wherever they are.
        await store.do(base.SetPreferences("ada", b'{"channels":{"live":false}}'))
        await store.do(base.SetPreferences("bob", no_news.preferences))
        await eventually(lambda: not any(_of(site).tastes["ada"].others for site in sites))
        await eventually(lambda: "bob" in _of(sites[0]).tastes)
        await tell(sites[1], "nobody", topic="news")
        await store.do(base.SetPreferences("ada", b"{}"))
        await eventually(lambda: not any("ada" in _of(site).tastes for site in sites))
        await tell(sites[1], "last")
        for client in (ada, also_ada, bob):
            assert await client.titles(1) == ["last"]
        for each in (ada, also_ada, bob, back, listener):
            each.close()
        await eventually(lambda: not any(_of(site).tastes for site in sites))


@asynchronous
async def test_preferences_that_change_while_a_client_comes(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they were when the store was asked is old then."""
    do, changes = store.do, [base.SetPreferences("ada", b'{"channels":{"live":false}}')]

    one_after_the_other = asyncio.Lock()

    async def slow(operation: base.Operation[Any]) -> Any:
        async with one_after_the_other:
            answer = await do(operation)
            if isinstance(operation, base.GetPreferences) and changes:
                await do(changes.pop())
                await turns(20)
            return answer

    async with serving(make_app()) as site:
        await store.do(base.SetPreferences("ada", b'{"locale":"de"}'))
        monkeypatch.setattr(store, "do", slow)
        ada = await Client.come(site, "ada")
        await eventually(lambda: "ada" in _of(site).tastes)
        await tell(site, "not wanted")
        await tell(site, "urgent", critical=True)
        assert await ada.titles(1) == ["urgent"]


def _of(site: Site) -> Residents:
    assert site.app.hub is not None
    live = site.app.hub.doorkeeper
    assert isinstance(live, Live)
    return live.residents


@asynchronous
async def test_marks_are_told_to_the_users_other_clients(store: MemoryStore) -> None:
    from hocket.store.base import MarkInbox

    async with serving(make_app()) as site:
        ada, bob = await Client.come(site, "ada"), await Client.come(site, "bob")
        await store.do(MarkInbox("ada", "read", ("n1",), 1.0))
        assert await ada.text() == '42["inbox",{"what":"read","ids":["n1"]}]'
        assert await bob.is_told_nothing()


@asynchronous
async def test_without_a_store_clients_come_in_and_catch_up(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hocket.notify.live.PATIENCE", 0.05)
    async with serving(make_app()) as site:
        await Client.come(site, "ada")
        store.down = True
        ada = await Client.come(site, "ada", 0)
        bob = await Client.come(site, "bob")
        store.down = False
        store.let_out()
        await tell(site, "one", Audience.users("ada", "bob"))
        assert await ada.titles(1) == ["one"]
        assert await bob.titles(1) == ["one"]


@asynchronous
async def test_a_reload_neither_skips_nor_repeats(store: MemoryStore) -> None:
    async with serving_together(make_app, 1) as (site,):
        users = [f"u{number}" for number in range(20)]
        clients = [await Client.come(site, user) for user in users]
        await tell(site, "one")
        store.lag = True
        await tell(site, "two", Audience.users(*users))

        def just_before() -> None:
            store.let_out(3)

        async with succeeding(site, make_app(), just_before=just_before):
            store.let_out()
            await tell(site, "three")
            store.let_out()
            for client in clients:
                assert await client.titles(3) == ["one", "two", "three"]
                assert await client.is_told_nothing()


@asynchronous
async def test_jobs(store: MemoryStore) -> None:
    async with serving(make_app()) as site:
        await Client.come(site, "ada")
        job = await site.app.notify(Audience.all(), Notification(title="x"), key="k")
        assert (await job.wait(timeout=5)).state == "done"
        assert (
            await site.app.notify(Audience.all(), Notification(title="x"), key="k")
        ).id == job.id
        again = await site.app.job(job.id)
        assert [result.user async for result in again.report()] == ["ada"]


@asynchronous
async def test_without_data_it_says_what_to_do() -> None:
    async with serving(make_app()) as site:
        with pytest.raises(RuntimeError, match="--data DIR"):
            await site.app.notify(Audience.all(), Notification(title="x"))
        assert site.worker.hub.doorkeeper is None
    with pytest.raises(RuntimeError, match="not running"):
        await site.app.job("x")


@asynchronous
async def test_a_user_whom_the_store_cannot_take_locks_nobody_out(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    do = store.do

    async def picky(operation: base.Operation[Any]) -> Any:
        if isinstance(operation, base.SeeUsers) and "bad" in operation.users:
            raise ValueError("no such name")
        return await do(operation)

    monkeypatch.setattr(store, "do", picky)
    async with serving(make_app()) as site:
        bad = await WebSocketClient.opened(site)
        await bad.say('40{"user":"bad"}')
        assert await bad.text() == '44{"message":"disconnected"}'
        ada = await Client.come(site, "ada")
        await tell(site, "hi")
        assert await ada.titles(1) == ["hi"]
        assert site.alarms.messages == ["internal error in live notifications"]


@asynchronous
async def test_a_name_that_is_not_text_is_told_nothing(store: MemoryStore) -> None:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.user = "\udcff"  # as `surrogateescape` reads bytes

    async with serving(app) as site:
        client = await WebSocketClient.opened(site)
        await client.say("40")
        assert (await client.text()).startswith('40{"sid":')
        assert store.users == {}
