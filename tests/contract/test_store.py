"""What every store promises, in this process and over its socket."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hocket.store.base import (
    AddKey,
    AudienceRow,
    CancelNotification,
    Claim,
    Conflict,
    CountAudience,
    CountUnread,
    DeleteOld,
    Deliveries,
    DeliveryRow,
    Devices,
    GetDue,
    GetKey,
    GetNotification,
    GetPreferences,
    Inbox,
    JoinTopic,
    KeyRow,
    Keys,
    LeaveTopic,
    MarkInbox,
    NotificationRow,
    Operation,
    Recipients,
    RegisterDevice,
    Registered,
    Released,
    ReleaseDue,
    RemoveDevice,
    Report,
    RevokeKey,
    Seen,
    SeeUsers,
    SetPreferences,
    Store,
    TopicsOf,
)
from hocket.store.sqlite.database import NAME
from tests.contract.stores import (
    LATER,
    Opened,
    accept,
    claim,
    client,
    local,
    served,
    serving,
    settle,
)
from tests.support import asynchronous

stores = pytest.mark.parametrize("opened", [local, served])


async def device(store: Store, user: str, token: str = "", provider: str = "fcm") -> str:
    registered = await store.do(RegisterDevice(user, provider, token or f"of {user}", 50.0))
    return registered.id


async def row(store: Store, id: str) -> NotificationRow:
    return await store.do(GetNotification(id))


async def inbox(store: Store, user: str) -> list[str]:
    return [item.id for item in await store.do(Inbox(user, after=0))]


# Users, topics, preferences


@stores
@asynchronous
async def test_users_are_seen_once(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.do(SeeUsers(("ada", "bob", "ada"))) == Seen(2, 0, (1, 1, 1))
        assert await store.do(SeeUsers(("eve", "bob"))) == Seen(1, 0, (2, 1))
        assert await store.do(SeeUsers(())) == Seen(0, 0, ())
        await store.do(SetPreferences("bob", b'{"locale":"de"}'))
        assert await store.do(SeeUsers(("ada", "bob"))) == Seen(0, 0, (1, 1), choosy=(1,))


@stores
@asynchronous
async def test_topics(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.do(JoinTopic("news", "ada"))
        assert not await store.do(JoinTopic("news", "ada"))
        assert await store.do(JoinTopic("art", "ada"))
        assert await store.do(TopicsOf("ada")) == ["art", "news"]
        assert await store.do(LeaveTopic("news", "ada"))
        assert not await store.do(LeaveTopic("news", "ada"))
        assert await store.do(TopicsOf("ada")) == ["art"]


@stores
@asynchronous
async def test_preferences(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await store.do(GetPreferences("ada")) == b"{}"
        await store.do(SetPreferences("ada", b'{"locale":"de"}'))
        assert await store.do(GetPreferences("ada")) == b'{"locale":"de"}'


# Devices


@stores
@asynchronous
async def test_a_token_is_one_device(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.do(RegisterDevice("ada", "fcm", "t", 1.0))
        assert not first.replaced
        again = await store.do(RegisterDevice("bob", "fcm", "t", 2.0))
        assert again == Registered(first.id, replaced=True)
        other = await store.do(RegisterDevice("ada", "apns", "t", 3.0))
        assert not other.replaced
        found = await store.do(Devices("bob"))
        assert [(each.id, each.token, each.registered) for each in found] == [(first.id, "t", 2.0)]
        assert [each.id for each in await store.do(Devices(limit=1))] == [first.id]
        assert [each.id for each in await store.do(Devices(after=first.id))] == [other.id]


@stores
@asynchronous
async def test_a_token_that_users_have_beside_each_other(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        async def register(user: str, beside: bool) -> Registered:
            return await store.do(RegisterDevice(user, "email", "t", 1.0, beside))

        given = await register("ada", beside=False)
        assert await register("ada", beside=True) == Registered(given.id, replaced=True)
        bobs = await register("bob", beside=True)
        assert not bobs.replaced
        for beside in (True, False):
            assert await register("bob", beside) == Registered(bobs.id, replaced=True)
        assert [each.user for each in await store.do(Devices())] == ["ada", "bob"]
        assert await register("cy", beside=False) == Registered(given.id, replaced=True)
        assert [each.user for each in await store.do(Devices())] == ["cy", "bob"]


@stores
@asynchronous
async def test_a_user_has_so_many_devices(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        async def register(user: str, token: str, most: int = 2) -> Registered:
            return await store.do(RegisterDevice(user, "fcm", token, 1.0, most=most))

        await register("ada", "a")
        await register("ada", "b")
        await register("bob", "c")
        for token in ("c", "d"):
            with pytest.raises(Conflict) as full:
                await register("ada", token)
            assert full.value.code == "too-many-devices"
        assert [each.token for each in await store.do(Devices("bob"))] == ["c"]
        assert (await register("ada", "a")).replaced
        assert not (await register("ada", "d", most=0)).replaced


@stores
@asynchronous
async def test_only_its_user_removes_a_device(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        id = await device(store, "ada")
        assert not await store.do(RemoveDevice(id, "bob"))
        assert await store.do(RemoveDevice(id, "ada"))
        assert not await store.do(RemoveDevice(id))


@stores
@asynchronous
async def test_what_a_removed_device_was_to_get_fails(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        id = await device(store, "ada")
        await store.do(accept("n"))
        assert (await row(store, "n")).pending == 1
        await store.do(RemoveDevice(id))
        found = await row(store, "n")
        assert (found.failed, found.pending, found.state) == (1, 0, "done")
        assert await claim(store) == []


@stores
@asynchronous
async def test_a_device_of_another_user_gets_nothing_of_the_one_before(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await device(store, "ada", "t")
        await store.do(accept("n", "ada"))
        await store.do(accept("later", "ada", "bob", send_at=150.0))
        await store.do(accept("all", send_at=150.0))
        await device(store, "bob", "t")
        await store.do(ReleaseDue(160.0))
        assert await claim(store) == []
        for id in ("n", "later", "all"):
            assert (await row(store, id)).state == "done"


# Acceptance


@stores
@asynchronous
async def test_each_recipient_counts_once(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob", "eve")))
        await store.do(JoinTopic("news", "ada"))
        await store.do(JoinTopic("art", "ada"))
        both = accept("n", "ada", "new", "new", topics=("news", "art", "art"))
        assert (await store.do(both)).recipients == 2
        assert await store.do(Recipients("n")) == ["ada", "new"]
        everybody = accept("all", "ada", "unseen", topics=("news",), everybody=True)
        assert (await store.do(everybody)).recipients == 4
        assert await store.do(Recipients("all")) == ["ada", "bob", "eve", "unseen"]
        assert await store.do(Recipients("all", after="ada", limit=2)) == ["bob", "eve"]
        assert (await inbox(store, "ada")) == ["n", "all"]
        assert (await inbox(store, "unseen")) == ["all"]
        assert (await inbox(store, "new")) == ["n"]


@stores
@asynchronous
async def test_an_audience_is_decided_at_acceptance(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(JoinTopic("news", "ada"))
        await store.do(accept("topic", topics=("news",), send_at=150.0))
        await store.do(accept("all", send_at=150.0))
        await store.do(LeaveTopic("news", "ada"))
        await store.do(JoinTopic("news", "bob"))
        await device(store, "bob")
        await store.do(accept("after", topics=("news",)))
        assert await store.do(ReleaseDue(160.0)) == 2
        assert await inbox(store, "ada") == ["topic", "all"]
        assert await inbox(store, "bob") == ["after"]
        assert [each.notification for each in await claim(store)] == ["after"]


@stores
@asynchronous
async def test_leaving_and_joining_again_misses_what_was_between(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await store.do(JoinTopic("news", "ada"))
        await store.do(accept("one", topics=("news",)))
        await store.do(LeaveTopic("news", "ada"))
        await store.do(accept("two", topics=("news",)))
        await store.do(JoinTopic("news", "ada"))
        await store.do(accept("three", topics=("news",)))
        assert await inbox(store, "ada") == ["one", "three"]
        assert await store.do(Recipients("two")) == []


@stores
@asynchronous
async def test_an_idempotency_key(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.do(accept("one", key="k", digest=b"body"))
        again = await store.do(accept("two", key="k", digest=b"body"))
        assert (again.id, again.replayed, first.replayed) == ("one", True, False)
        with pytest.raises(Conflict) as refused:
            await store.do(accept("three", key="k", digest=b"other"))
        assert refused.value.code == "key-reused"
        other = await store.do(accept("four", key="k", digest=b"other", caller="somebody else"))
        assert not other.replayed
        next_day = await store.do(accept("five", key="k", digest=b"other", at=100.0 + 86_400))
        assert (next_day.id, next_day.replayed) == ("five", False)
        with pytest.raises(Conflict, match="there is no notification 'three'"):
            await row(store, "three")


@stores
@asynchronous
async def test_a_repeated_id_is_answered_as_a_repeated_key(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(accept("one", digest=b"body"))
        assert (await store.do(accept("one", digest=b"body"))).replayed
        for other in (accept("one", digest=b"x"), accept("one", digest=b"body", caller="x")):
            with pytest.raises(Conflict) as refused:
                await store.do(other)
            assert refused.value.code == "key-reused"
        assert [item.id for item in await store.do(Inbox("new", after=0))] == []


# Schedule, expiry, cancelling


@stores
@asynchronous
async def test_a_scheduled_one_becomes_visible_when_it_is_due(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await device(store, "ada")
        assert (await store.do(accept("late", send_at=150.0))).state == "scheduled"
        await store.do(accept("soon"))
        due = await store.do(GetDue(100.0))
        assert (due.release, list(due.providers)) == (150.0, ["fcm"])
        assert await store.do(ReleaseDue(149.0)) == 0
        assert await inbox(store, "ada") == ["soon"]
        assert await store.do(ReleaseDue(150.0)) == 1
        assert await inbox(store, "ada") == ["soon", "late"]
        assert (await row(store, "late")).seq == 2


@stores
@asynchronous
async def test_what_is_over_expires(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            await device(store, "ada", f"t{number}")
        await store.do(accept("n", expires_at=500.0))
        held = await claim(store, limit=1)
        await store.do(ReleaseDue(500.0))
        found = await row(store, "n")
        assert (found.expired, found.pending, found.state) == (2, 1, "running")
        await settle(store, held, "delivered")
        found = await row(store, "n")
        assert (found.delivered, found.expired, found.state) == (1, 2, "done")
        assert (await store.do(GetDue(500.0))).release == 0.0


@stores
@asynchronous
async def test_cancelling_leaves_what_is_in_hand(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            await device(store, "ada", f"t{number}")
        await store.do(accept("n"))
        held = await claim(store, limit=2)
        found = await store.do(CancelNotification("n", 210.0))
        assert (found.state, found.cancelled, found.pending) == ("cancelled", 1, 2)
        await settle(store, held[:1], "delivered")
        await settle(store, held[1:], "retry", error="busy")
        found = await row(store, "n")
        assert (found.state, found.delivered, found.cancelled) == ("cancelled", 1, 2)
        assert found.pending == 0
        assert await claim(store, now=LATER) == []
        states = [each.state for each in await store.do(Deliveries("n"))]
        assert states == ["delivered", "cancelled", "cancelled"]


@stores
@asynchronous
async def test_a_cancelled_schedule_is_never_released(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(accept("n", send_at=150.0))
        assert (await store.do(CancelNotification("n", 110.0))).state == "cancelled"
        assert await store.do(ReleaseDue(LATER)) == 0
        assert await inbox(store, "ada") == []
        await store.do(accept("done"))
        assert (await store.do(CancelNotification("done", 110.0))).state == "done"


# The outbox


@stores
@asynchronous
async def test_a_delivery_from_claim_to_report(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        id = await device(store, "ada")
        await store.do(SetPreferences("ada", b'{"locale":"de"}'))
        await store.do(accept("n", collapse_key="c"))
        [claimed] = await claim(store)
        assert (claimed.notification, claimed.user, claimed.device) == ("n", "ada", id)
        assert (claimed.token, claimed.preferences) == ("of ada", b'{"locale":"de"}')
        assert (claimed.collapse_key, claimed.expires_at) == ("c", LATER)
        assert await claim(store) == []
        [in_hand] = await store.do(Deliveries("n"))
        assert in_hand.state == "leased"
        assert (await store.do(GetDue(200.0))).providers == {}
        await settle(store, [claimed], "retry", at=300.0, error="busy")
        assert (await store.do(GetDue(200.0))).providers == {"fcm": 300.0}
        assert await claim(store, now=299.0) == []
        [claimed] = await claim(store, now=300.0)
        assert claimed.attempts == 1
        await settle(store, [claimed], "delivered")
        delivery = DeliveryRow(claimed.id, "ada", id, "fcm", "delivered", 2, "")
        assert await store.do(Deliveries("n")) == [delivery]
        assert await store.do(Deliveries("n", after=claimed.id)) == []
        [reported] = await store.do(Report("n"))
        assert (reported.user, reported.deliveries) == ("ada", [delivery])
        assert (await row(store, "n")).state == "done"


@stores
@asynchronous
async def test_a_lease_ends_at_its_time(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await device(store, "ada")
        await store.do(accept("n"))
        first = await claim(store, now=200.0)
        assert await claim(store, now=259.0) == []
        assert [each.id for each in await claim(store, now=260.0)] == [each.id for each in first]


@stores
@asynchronous
async def test_waiting_for_a_better_time_is_no_attempt(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await device(store, "ada")
        await store.do(accept("n"))
        await settle(store, await claim(store), "retry", at=300.0)
        [claimed] = await claim(store, now=300.0)
        assert claimed.attempts == 0
        await settle(store, [claimed], "retry", at=301.0, error="HTTP 500")
        await settle(store, await claim(store, now=301.0), "retry", at=302.0)
        [told] = await store.do(Deliveries("n"))
        assert (told.attempts, told.error) == (1, "HTTP 500"), "why it has not arrived yet"


@stores
@asynchronous
async def test_a_time_that_is_none_is_refused(opened: Opened, tmp_path: Path) -> None:
    """Written down, it would be never: the delivery would neither be claimed again nor expire."""
    async with opened(tmp_path) as store:
        await device(store, "ada")
        await store.do(accept("n"))
        claimed = await claim(store)
        for at in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match="at a time that is none"):
                await settle(store, claimed, "retry", at=at, error="x")
            with pytest.raises(ValueError, match="at a time that is none"):
                await settle(store, claimed, "dead", dead_since=at)
        await settle(store, claimed, "retry", at=300.0, error="x")
        assert len(await claim(store, now=300.0)) == 1


@stores
@asynchronous
async def test_a_dead_token_is_pruned_unless_it_was_registered_again(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        for user in ("ada", "bob", "eve"):
            await device(store, user)  # at 50
        await store.do(accept("n"))
        ada, bob, eve = await claim(store)
        await settle(store, [ada], "dead", error="gone")
        await settle(store, [bob], "dead", dead_since=49.0)
        await settle(store, [eve], "dead", dead_since=50.0)
        assert [each.user for each in await store.do(Devices())] == ["bob"]
        found = await row(store, "n")
        assert (found.failed, found.state) == (3, "done")
        assert [each.error for each in await store.do(Deliveries("n"))] == ["gone", "", ""]


@stores
@asynchronous
async def test_a_broadcast_is_made_into_deliveries_in_batches(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(
            *[device(store, f"u{number % 1_500}", f"t{number}") for number in range(2_500)]
        )
        await store.do(accept("n"))
        await store.do(accept("some", *[f"u{number}" for number in range(1_400)]))
        assert (await row(store, "n")).pending == 1_000
        await device(store, "u1", "later")
        seen: dict[str, list[str]] = {"n": [], "some": []}
        while claimed := await claim(store, limit=300):
            for each in claimed:
                seen[each.notification].append(each.device)
            await settle(store, claimed, "delivered")
        assert len(seen["n"]) == len(set(seen["n"])) == 2_500
        assert len(seen["some"]) == len(set(seen["some"])) == 2_400
        for id, count in (("n", 2_500), ("some", 2_400)):
            found = await row(store, id)
            assert (found.delivered, found.pending, found.state) == (count, 0, "done")


@stores
@asynchronous
async def test_a_claim_of_what_is_long_ends_early(opened: Opened, tmp_path: Path) -> None:
    """500 rows of 128 KB are 64 MB, and a frame over the socket has 32."""
    long = b'{"title":"%s"}' % (b"x" * 65_000)
    async with opened(tmp_path) as store:
        for number in range(400):
            await device(store, "ada", f"t{number}")
        await store.do(SetPreferences("ada", b'{"locale":"%s"}' % (b"x" * 65_000)))
        await store.do(accept("n", content=long))
        await store.do(accept("digest", content=b'{"digest":{"key":"k","window":1},' + long[1:]))
        tokens: list[str] = []
        while claimed := await claim(store, limit=500):
            size = sum(len(each.content) + len(each.preferences) for each in claimed)
            assert 0 < size <= 8_388_608 + 140_000
            tokens += [each.token for each in claimed]
            await settle(store, claimed, "delivered")
        assert sorted(tokens) == sorted([f"t{number}" for number in range(400)] * 2)


@stores
@asynchronous
async def test_a_small_one_does_not_wait_for_a_broadcast(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*[device(store, f"u{number}") for number in range(6_000)])
        await store.do(accept("large"))
        await store.do(accept("small", "u5"))
        first = [each.notification for each in await claim(store, limit=1_100)]
        assert "small" in first


@stores
@asynchronous
async def test_a_digest_is_claimed_as_one(opened: Opened, tmp_path: Path) -> None:
    content = b'{"title":"%d","digest":{"key":"k","window":60}}'
    async with opened(tmp_path) as store:
        await device(store, "ada")
        await device(store, "bob")
        for number in range(3):
            at = 100.0 + number
            await store.do(accept(f"n{number}", "ada", content=content % number, at=at))
        await store.do(accept("plain", "ada"))
        await store.do(accept("bobs", "bob", content=content % 9, at=110.0))
        plain = await claim(store, now=159.0)
        assert [each.notification for each in plain] == ["plain"]
        await settle(store, plain, "delivered")
        [one] = await claim(store, now=160.0)
        assert (one.notification, one.content, len(one.merged)) == ("n2", content % 2, 2)
        assert (await store.do(GetDue(160.0))).providers == {"fcm": 170.0}
        await settle(store, [one], "retry", at=165.0, error="busy")
        [one] = await claim(store, now=165.0)
        assert len(one.merged) == 2
        await settle(store, [one], "delivered")
        for number in range(3):
            found = await row(store, f"n{number}")
            assert (found.delivered, found.state) == (1, "done")
        await store.do(accept("next", "ada", content=content % 5, at=170.0))
        bobs = await claim(store, now=180.0)
        assert [each.notification for each in bobs] == ["bobs"]
        await settle(store, bobs, "delivered")
        assert [each.notification for each in await claim(store, now=230.0)] == ["next"]


@stores
@asynchronous
async def test_a_digest_is_of_what_is_wanted_alike(opened: Opened, tmp_path: Path) -> None:
    """Else the newest one's topic would decide about all of them, and about what is critical."""
    async with opened(tmp_path) as store:
        await device(store, "ada")
        for at, rest in enumerate(
            [b"", b',"topic":"likes"', b',"critical":true', b',"topic":"likes"', b"", b""]
        ):
            content = b'{"title":"%d","digest":{"key":"k","window":60}%s}' % (at, rest)
            expires_at = 1_000.0 - at
            await store.do(accept(f"n{at}", "ada", content=content, expires_at=expires_at))
        claimed = {each.notification: each for each in await claim(store, now=160.0)}
        assert {id: len(each.merged) for id, each in claimed.items()} == {"n5": 2, "n3": 1, "n2": 0}
        assert claimed["n5"].expires_at == 1_000.0, "as long as any of them"


@stores
@asynchronous
async def test_a_digest_is_one_users_also_when_the_device_has_changed_hands(
    opened: Opened, tmp_path: Path
) -> None:
    content = b'{"title":"t","digest":{"key":"k","window":5}}'
    async with opened(tmp_path) as store:
        await device(store, "ada", token="shared")
        await store.do(accept("adas", "ada", content=content))
        assert len(await claim(store, now=200.0)) == 1
        await device(store, "bob", token="shared")
        await store.do(accept("bobs", "bob", content=content, at=201.0))
        [bobs] = await claim(store, now=270.0)  # the lease of what was ada's is over
        assert (bobs.user, bobs.merged) == ("bob", ())
        await settle(store, [bobs], "delivered")
        found = [await row(store, id) for id in ("adas", "bobs")]
        assert [(each.failed, each.delivered, each.pending) for each in found] == [
            (1, 0, 0),
            (0, 1, 0),
        ]


# The inbox


@stores
@asynchronous
async def test_pages_of_an_inbox(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(JoinTopic("news", "ada"))
        for number in range(0, 9, 3):
            await store.do(accept(f"n{number}"))
            await store.do(accept(f"n{number + 1}", topics=("news",)))
            await store.do(accept(f"n{number + 2}", "ada", topics=("else",)))
        newest = [item.id for item in await store.do(Inbox("ada", limit=3))]
        assert newest == ["n8", "n7", "n6"]
        older = await store.do(Inbox("ada", before=7, limit=2))
        assert [item.id for item in older] == ["n5", "n4"]
        newer = await store.do(Inbox("ada", after=4, limit=2))
        assert [(item.seq, item.id) for item in newer] == [(5, "n4"), (6, "n5")]


@stores
@asynchronous
async def test_a_page_of_what_is_long_ends_early(opened: Opened, tmp_path: Path) -> None:
    """1,000 items of 64 KB are 64 MB, and a frame over the socket has 32."""
    async with opened(tmp_path) as store:
        content = b'{"title":"%s"}' % (b"x" * 65_000)
        for number in range(600):
            await store.do(accept(f"n{number:03}", "ada", content=content))
        ids: list[str] = []
        after = 0
        while rows := await store.do(Inbox("ada", after=after, limit=1_000)):
            assert sum(len(row.content) for row in rows) <= 8_388_608 + 65_100
            ids += [row.id for row in rows]
            after = rows[-1].seq
        assert ids == [f"n{number:03}" for number in range(600)]
        assert (await store.do(Inbox("ada", limit=1_000)))[0].id == "n599"


@stores
@asynchronous
async def test_marks(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob")))
        for number in range(4):
            await store.do(accept(f"n{number}"))
        await store.do(accept("not ada's", "bob"))
        assert await store.do(CountUnread("ada")) == 4
        await store.do(MarkInbox("ada", "read", ("n0", "n1"), 110.0))
        await store.do(MarkInbox("ada", "archived", ("n3",), 111.0))
        assert await store.do(CountUnread("ada")) == 1
        assert [item.read for item in await store.do(Inbox("ada", after=0))] == [110.0, 110.0, 0.0]
        [archived] = await store.do(Inbox("ada", archived=True))
        assert (archived.id, archived.archived) == ("n3", 111.0)
        await store.do(MarkInbox("ada", "read", (), 120.0))
        await store.do(accept("n4"))
        assert await store.do(CountUnread("ada")) == 1
        await store.do(MarkInbox("ada", "unread", ("n1",), 121.0))
        await store.do(MarkInbox("ada", "unarchived", (), 121.0))
        assert await store.do(CountUnread("ada")) == 2
        assert await store.do(CountUnread("bob")) == 6
        await store.do(MarkInbox("ada", "unread", (), 122.0))
        assert await store.do(CountUnread("ada")) == 5


MUTED = b'{"topics":{"news":{"inbox":false},"art":{"live":false}},"channels":{"inbox":true}}'
NEWS, ART = b'{"title":"x","topic":"news"}', b'{"title":"x","topic":"art"}'
URGENT = b'{"title":"x","topic":"news","critical":true}'


@stores
@asynchronous
async def test_what_a_user_does_not_want_is_not_in_the_inbox(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob")))
        await store.do(SetPreferences("ada", MUTED))
        for id, content in {"plain": b"{}", "news": NEWS, "art": ART, "urgent": URGENT}.items():
            await store.do(accept(id, content=content))
        inbox = [item.id for item in await store.do(Inbox("ada", after=0))]
        assert inbox == ["plain", "art", "urgent"]
        live = [item.id for item in await store.do(Inbox("ada", after=0, channel="live"))]
        assert live == ["plain", "news", "urgent"]
        assert [item.id for item in await store.do(Inbox("ada", limit=1, before=4))] == ["art"]
        assert await store.do(CountUnread("ada")) == 3
        await store.do(MarkInbox("ada", "read", (), 1.0))
        await store.do(MarkInbox("ada", "unread", ("news", "art"), 1.0))
        assert await store.do(CountUnread("ada")) == 1
        assert await store.do(CountUnread("bob")) == 4
        await store.do(SetPreferences("ada", b'{"channels":{"inbox":false}}'))
        assert [item.id for item in await store.do(Inbox("ada", after=0))] == ["urgent"]
        for whatever in (b"{}", b"no JSON", b'{"channels":7}'):
            await store.do(SetPreferences("ada", whatever))
            found = await store.do(Inbox("ada", after=0))
            assert len(found) == 4


@stores
@asynchronous
async def test_a_report_says_who_did_not_want_it(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob", "cy")))
        for user in ("ada", "cy"):
            await store.do(SetPreferences(user, MUTED))
        await device(store, "cy")
        await store.do(accept("n", content=NEWS))
        report = {each.user: each.unwanted for each in await store.do(Report("n"))}
        assert report == {"ada": True, "bob": False, "cy": False}


@stores
@asynchronous
async def test_one_wrong_id_marks_nothing(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(accept("n"))
        await store.do(accept("bob's", "bob"))
        await store.do(accept("later", send_at=150.0))
        for wrong in ("bob's", "later", "none"):
            with pytest.raises(Conflict) as refused:
                await store.do(MarkInbox("ada", "read", ("n", wrong), 1.0))
            assert refused.value.code == "not-found"
        assert await store.do(CountUnread("ada")) == 1


# Retention


async def delete_old(store: Store, before: float, now: float = LATER) -> int:
    """How many batches it takes."""
    batches = 0
    while deleted := await store.do(DeleteOld(now, before)):
        assert deleted <= 1_000
        batches += 1
    return batches


@stores
@asynchronous
async def test_what_is_over_and_old_is_deleted(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob")))
        await store.do(JoinTopic("news", "ada"))
        await device(store, "bob")
        for at in (100.0, 200.0):
            await store.do(accept(f"all {at}", at=at))
            await settle(store, await claim(store, now=at), "delivered")
            await store.do(accept(f"named {at}", "ada", at=at))
            await store.do(accept(f"topic {at}", topics=("news",), at=at))
        await store.do(accept("running", "bob", at=100.0))
        await store.do(accept("scheduled", at=100.0, send_at=150.0))
        await store.do(accept("cancelled", at=100.0, send_at=150.0))
        await store.do(CancelNotification("cancelled", 100.0))
        old = ("all 100.0", "named 100.0", "topic 100.0")
        await store.do(MarkInbox("ada", "read", (), 210.0))
        await store.do(MarkInbox("ada", "unread", (*old, "named 200.0"), 210.0))
        await store.do(MarkInbox("bob", "archived", ("all 100.0",), 210.0))
        assert await delete_old(store, before=0.0) == 0
        assert await delete_old(store, before=100.0) == 0
        assert await delete_old(store, before=150.0) > 0
        for id in (*old, "cancelled"):
            gone: list[Operation[Any]] = [GetNotification(id), Report(id), Deliveries(id)]
            for operation in gone:
                with pytest.raises(Conflict, match="there is no notification"):
                    await store.do(operation)
            with pytest.raises(Conflict, match="is not in this inbox"):
                await store.do(MarkInbox("ada", "read", (id,), 220.0))
        kept = ["all 200.0", "named 200.0", "topic 200.0"]
        assert [item.id for item in await store.do(Inbox("ada", after=0))] == kept
        assert [item.id for item in await store.do(Inbox("ada"))] == kept[::-1]
        assert await store.do(CountUnread("ada")) == 1
        assert await store.do(Inbox("bob", archived=True)) == []
        assert [item.id for item in await store.do(Inbox("bob"))] == ["running", "all 200.0"]
        assert (await row(store, "all 200.0")).delivered == 1
        assert (await row(store, "scheduled")).state == "scheduled"
        [running] = await claim(store, now=200.0)
        assert running.notification == "running"
        await settle(store, [running], "delivered")
        await store.do(ReleaseDue(150.0))
        assert [item.id for item in await store.do(Inbox("ada", limit=1))] == ["scheduled"]


@stores
@asynchronous
async def test_much_that_is_old_is_deleted_in_batches(opened: Opened, tmp_path: Path) -> None:
    users = tuple(f"u{number:04}" for number in range(1_500))
    async with opened(tmp_path) as store:
        for user in users[:600]:
            await device(store, user)
        await store.do(accept("n", *users))
        while claimed := await claim(store):
            await settle(store, claimed, "delivered")
        for user in users[:700]:
            await store.do(MarkInbox(user, "read", ("n",), 1.0))
        deleted = await store.do(DeleteOld(LATER, 300.0))
        assert deleted == 1_000
        for user in (users[0], users[-1]):  # from the first batch on
            assert await store.do(Inbox(user)) == []
            assert await store.do(CountUnread(user)) == 0
        assert await delete_old(store, before=300.0) == 2
        await store.do(accept("next", "u0000", at=400.0))
        assert [item.id for item in await store.do(Inbox("u0000"))] == ["next"]


@asynchronous
async def test_nothing_is_left_of_what_was_deleted(tmp_path: Path) -> None:
    async with local(tmp_path) as store:
        await store.do(JoinTopic("news", "ada"))
        await device(store, "ada")
        await store.do(accept("a", at=100.0))
        await store.do(accept("t", at=100.0, topics=("news",)))
        await store.do(accept("k", at=100.0, key="key"))
        await store.do(accept("u", "ada", "bob", at=100.0))
        await settle(store, await claim(store), "delivered")
        await store.do(MarkInbox("ada", "read", ("a", "u"), 1.0))
        await store.do(LeaveTopic("news", "ada"))
        await delete_old(store, before=150.0, now=100_000.0)
    db = sqlite3.connect(tmp_path / NAME)
    tables = [
        name
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not name.startswith("sqlite_")
    ]
    full = {name for name in tables if db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]}
    db.close()
    assert full == {"counters", "users", "devices"}


@stores
@asynchronous
async def test_an_idempotency_key_is_deleted_after_a_day(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(1_500):
            await store.do(accept(f"n{number}", "ada", key=f"k{number}", at=100.0))
        assert await store.do(DeleteOld(86_499.0, 0.0)) == 0
        assert await store.do(DeleteOld(86_500.0, 0.0)) == 1_000
        assert await store.do(DeleteOld(86_500.0, 0.0)) == 500
        assert not (await store.do(accept("again", "ada", key="k0", at=86_500.0))).replayed


@asynchronous
async def test_who_listens_goes_on_over_what_was_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        for number in range(3):
            await store.do(accept(f"n{number}"))
        await delete_old(store, before=200.0)
        events = store.events(after=0)
        hearing = asyncio.ensure_future(anext(aiter(events)))
        await asyncio.sleep(0)
        await store.do(accept("next", at=300.0))
        event = await asyncio.wait_for(hearing, 10)
        assert isinstance(event, Released)
        assert (event.id, event.seq) == ("next", 4)


# Keys


@stores
@asynchronous
async def test_keys(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        key = KeyRow("id", b"\0hash", "ci", ("notify", "devices"), 1.0)
        await store.do(AddKey(key))
        await store.do(AddKey(KeyRow("older", b"", "", (), 0.5)))
        assert await store.do(GetKey("id")) == key
        assert [each.id for each in await store.do(Keys())] == ["older", "id"]
        assert await store.do(RevokeKey("id"))
        assert not await store.do(RevokeKey("id"))
        assert await store.do(GetKey("id")) is None


# Limits


@stores
@asynchronous
async def test_what_is_too_much_is_refused(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(accept("n"))
        for limit in (0, 10_001):
            operations: list[Operation[Any]] = [
                Devices(limit=limit),
                Deliveries("n", limit=limit),
                Recipients("n", limit=limit),
                Report("n", limit=limit),
                Inbox("ada", limit=limit),
                Claim("fcm", limit, 1.0, 1.0),
            ]
            for operation in operations:
                with pytest.raises(ValueError, match="limit is from 1 to 10000"):
                    await store.do(operation)
        with pytest.raises(ValueError, match="too large"):
            await store.do(Deliveries("n", after=2**63))
        assert (await row(store, "n")).state == "done"


@asynchronous
async def test_a_settle_counts_where_nobody_else_has_the_lease(tmp_path: Path) -> None:
    """Whoever claimed before the store was started again has sent it; another may have it now."""
    async with served(tmp_path) as first:
        await device(first, "ada")
        await device(first, "bob")
        await first.do(accept("n"))
    async with client(tmp_path) as first:
        async with serving(tmp_path):
            sent, taken = await claim(first)
        async with serving(tmp_path), client(tmp_path) as other:
            again = await claim(other, limit=1)
            kept = next(each for each in (sent, taken) if each.id != again[0].id)
            await settle(first, [sent, taken], "delivered")
            states = {each.id: each.state for each in await other.do(Deliveries("n"))}
            assert states == {kept.id: "delivered", again[0].id: "leased"}


@stores
@asynchronous
async def test_an_audience_is_counted_as_it_would_be_accepted(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(tmp_path) as store:
        await store.do(SeeUsers(("ada", "bob", "cy")))
        await store.do(JoinTopic("news", "bob"))
        await store.do(JoinTopic("news", "left"))
        await store.do(LeaveTopic("news", "left"))
        for user, token, provider in [
            ("ada", "1", "fcm"), ("ada", "2", "webhook"), ("bob", "3", "fcm"), ("eve", "4", "fcm"),
        ]:  # fmt: skip
            await device(store, user, token, provider)
        for audience, devices in [
            (AudienceRow(users=("ada", "ada", "nobody")), {"fcm": 1, "webhook": 1}),
            (AudienceRow(users=("bob",), topics=("news", "none")), {"fcm": 1}),
            (AudienceRow(users=("ada", "new"), topics=("news",)), {"fcm": 2, "webhook": 1}),
            (AudienceRow(all=True, users=("ada", "stranger")), {"fcm": 3, "webhook": 1}),
            (AudienceRow(topics=("none",)), {}),
        ]:
            counted = await store.do(CountAudience(audience))
            assert counted.devices == devices
            done = await store.do(accept(f"{audience}", audience=audience))
            assert counted.recipients == done.recipients, audience
