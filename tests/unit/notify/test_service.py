"""What is accepted, and as what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hocket.notify.model import Audience, Digest, Notification
from hocket.notify.service import LEAST, BadNotification, Notifications
from hocket.notify.templates import TemplateError
from hocket.store.base import Conflict
from tests.memory_store import MemoryStore
from tests.support import asynchronous


@asynchronous
async def test_what_is_stored() -> None:
    store = MemoryStore()
    accepting = Notifications(store, lambda: 100.0)
    note = Notification(title="Hi", ttl=60, send_at=200.0)
    audience = Audience.users("ada") | Audience.topic("news")
    accepted = await accepting.accept(audience, note, caller="app")
    asked = store.kept[accepted.id].asked
    assert msgspec.json.decode(asked.content, type=Notification) == note
    assert (asked.audience.users, asked.audience.topics) == (("ada",), ("news",))
    assert (asked.at, asked.send_at, asked.expires_at) == (100.0, 200.0, 260.0)
    assert asked.collapse_key == asked.id == accepted.id
    accepted = await accepting.accept(
        Audience.all(), Notification(title="Hi", ttl=0, collapse_key="c"), caller="app"
    )
    asked = store.kept[accepted.id].asked
    assert (asked.expires_at, asked.collapse_key) == (100.0 + LEAST, "c")


@pytest.mark.parametrize(("ttl", "expires_at"), [(0, 700.0 + LEAST), (90, 790.0)])
@asynchronous
async def test_a_digest_has_its_ttl_once_its_window_has_ended(ttl: int, expires_at: float) -> None:
    store = MemoryStore()
    note = Notification(title="Hi", ttl=ttl, digest=Digest(key="k", window=600))
    accepted = await Notifications(store, lambda: 100.0).accept(Audience.all(), note, caller="app")
    assert store.kept[accepted.id].asked.expires_at == expires_at


@asynchronous
async def test_a_key_is_for_one_call() -> None:
    accepting = Notifications(MemoryStore(), lambda: 100.0)

    async def ask(title: str, caller: str = "app") -> Any:
        note = Notification(title=title)
        return await accepting.accept(Audience.all(), note, caller=caller, key="k")

    first = await ask("one")
    assert not first.replayed
    again = await ask("one")
    assert (again.id, again.replayed) == (first.id, True)
    assert (await ask("two", "another")).id != first.id
    with pytest.raises(Conflict) as refused:
        await ask("two")
    assert refused.value.code == "key-reused"


@pytest.mark.parametrize(
    ("audience", "notification"),
    [
        (Audience(), Notification(title="x")),
        (Audience.users(""), Notification(title="x")),
        (Audience.users("x" * 201), Notification(title="x")),
        (Audience.users(5), Notification(title="x")),  # type: ignore[arg-type]
        (Audience.all(), Notification()),
        (Audience.all(), Notification(title="x" * 2001)),
        (Audience.all(), Notification(title=5)),  # type: ignore[arg-type]
        (Audience.all(), Notification(title="x", ttl=-1)),
        (Audience.all(), Notification(title="x", urgency="now")),  # type: ignore[arg-type]
        (Audience.all(), Notification(title="x", send_at=1e12)),
        (Audience.all(), Notification(title="x", collapse_key="c" * 65)),
        (Audience.all(), Notification(title="x", data={"o": object()})),
        (Audience.all(), Notification(title="x", data={"t": "x" * 70_000})),
        (Audience.all(), Notification(title="x", digest=Digest(key="", window=5))),
        (Audience.all(), Notification(title="x", digest=Digest(key="d", window=0))),
        ("everybody", Notification(title="x")),
        (Audience.all(), {"title": "x", "tilte": "y"}),
    ],
)
def test_what_is_refused(audience: Any, notification: Any) -> None:
    @asynchronous
    async def refuse() -> None:
        store = MemoryStore()
        with pytest.raises(BadNotification, match=r"\w"):
            await Notifications(store).accept(audience, notification, caller="app")
        assert store.asked == []

    refuse()


def test_nesting_is_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"in": deep}
    test_what_is_refused(Audience.all(), Notification(title="x", data=deep))


@asynchronous
async def test_a_template_fills_in_what_the_inbox_says() -> None:
    store = MemoryStore()

    def fill_in(note: Notification) -> Notification:
        if note.template == "bad":
            raise TemplateError("there is no template 'bad'")
        return msgspec.structs.replace(note, title="from the template")

    accepting = Notifications(store, lambda: 1.0, fill_in)
    accepted = await accepting.accept(Audience.all(), Notification(template="t"), caller="app")
    assert b"from the template" in store.kept[accepted.id].asked.content
    with pytest.raises(BadNotification, match="no template"):
        await accepting.accept(Audience.all(), Notification(template="bad"), caller="app")
