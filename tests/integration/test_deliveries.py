"""Deliveries to devices, with providers that behave as providers do. The store is the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket import App, Audience, Job, Notification
from hocket.notify import retention, retry
from hocket.notify.model import Digest, Preferences, QuietHours
from hocket.notify.service import BadNotification
from hocket.providers import deliverer as deliverer_module
from hocket.providers import delivery
from hocket.providers.base import Dead, Delivered, Failed, Limits, Outcome, Push, Retry
from hocket.providers.composing import Composer
from hocket.providers.deliverer import Clocks
from hocket.providers.delivery import Delivery
from hocket.store.base import Devices, GetNotification, Inbox, RegisterDevice, SetPreferences
from tests.contract.stores import accept, local
from tests.integration.test_metrics import numbers
from tests.support import Site, asynchronous, eventually, serving


class Pager:
    """A provider that does what `act` says, and notes what it was given."""

    def __init__(
        self,
        act: Callable[[Push], Awaitable[Outcome]] | None = None,
        name: str = "pager",
        **limits: Any,
    ) -> None:
        self.name = name
        self.limits = Limits(**limits)
        self._act = act
        self.pushes: list[Push] = []
        self.times: list[float] = []
        self.now = self.most = 0
        self.closed = False

    def check(self, token: str) -> str:
        return token

    async def send(self, push: Push) -> Outcome:
        self.pushes.append(push)
        self.times.append(time.monotonic())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await self._act(push) if self._act is not None else Delivered("x")
        finally:
            self.now -= 1

    async def close(self) -> None:
        self.closed = True

    @property
    def tokens(self) -> list[str]:
        return [push.token for push in self.pushes]


@asynccontextmanager
async def delivering(data: Path, *pagers: Pager, **settings: Any) -> AsyncIterator[Site]:
    app = App()
    for pager in pagers:
        app.provider(pager)
    async with serving(app, data=str(data), **settings) as site:
        yield site
        assert site.alarms.messages == [], site.alarms.messages


async def register(site: Site, user: str, token: str, provider: str = "pager") -> str:
    assert site.app.store is not None
    device = await site.app.store.do(RegisterDevice(user, provider, token, time.time()))
    return device.id


async def tell(site: Site, *users: str, **fields: Any) -> Job:
    audience = Audience.users(*users) if users else Audience.all()
    return await site.app.notify(audience, Notification(**{"title": "Hi", **fields}))


def deliverer(site: Site) -> Delivery:
    assert site.worker.keeping is not None
    assert site.worker.keeping.delivery is not None
    return site.worker.keeping.delivery


async def devices(site: Site) -> list[str]:
    assert site.app.store is not None
    return [row.token for row in await site.app.store.do(Devices())]


@asynchronous
async def test_every_device_gets_its_push_and_the_report_adds_up(tmp_path: Path) -> None:
    pager = Pager(concurrency=7)
    async with delivering(tmp_path, pager) as site:
        for number in range(60):
            await register(site, f"u{number % 50:02}", f"t{number}")
        job = await tell(site, body="there", url="/x", icon="/i", data={"n": 1}, urgency="high")
        status = await job.wait(timeout=20)
        assert (status.state, status.recipients) == ("done", 50)
        assert (status.delivered, status.failed, status.pending) == (60, 0, 0)
        assert sorted(pager.tokens) == sorted(f"t{number}" for number in range(60))
        assert pager.most == 7
        results = [result async for result in job.report()]
        assert [result.user for result in results] == [f"u{number:02}" for number in range(50)]
        assert sum(len(result.devices) for result in results) == 60
        assert {result.state for result in results} == {"delivered"}
        report = await job.report()
        assert report.status == status
        found = await numbers(site)
        assert found["hocket_notifications_accepted_total"] == 1
        assert found['hocket_deliveries_total{provider="pager",state="delivered"}'] == 60
        assert found["hocket_deliveries_waiting"] == 0
        assert found['hocket_deliveries_in_hand{provider="pager"}'] == 0
        assert found['hocket_providers_paused{provider="pager"}'] == 0
        push = pager.pushes[0]
        assert push.collapse_key == push.notification == job.id
        assert (push.title, push.body, push.url, push.icon) == ("Hi", "there", "/x", "/i")
        assert (push.data, push.urgency) == ({"n": 1}, "high")
        assert 2_419_190 <= push.ttl <= 2_419_200
    assert pager.closed


@asynchronous
async def test_progress_of_a_job(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def wait(push: Push) -> Outcome:
        await gate.wait()
        return Delivered()

    async with delivering(tmp_path, Pager(wait)) as site:
        await register(site, "ada", "t")
        job = await tell(site)
        with pytest.raises(TimeoutError):
            await job.wait(timeout=0.05)
        seen = []
        async for status in job:
            seen.append((status.state, status.pending, status.delivered))
            gate.set()
        assert seen[0] == ("running", 1, 0)
        assert seen[-1] == ("done", 0, 1)


@asynchronous
async def test_a_retry_is_tried_again_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST", 0.01)

    async def fails_twice(push: Push) -> Outcome:
        return Retry("HTTP 500") if pager.tokens.count("t") < 3 else Delivered()

    pager = Pager(fails_twice)
    async with delivering(tmp_path, pager) as site:
        await register(site, "ada", "t")
        job = await tell(site)
        assert (await job.wait(timeout=20)).delivered == 1
        [result] = [result async for result in job.report()]
        assert (result.devices[0].state, result.devices[0].attempts) == ("delivered", 3)
        assert {push.collapse_key for push in pager.pushes} == {job.id}


@asynchronous
async def test_what_always_fails_fails_for_good_and_keeps_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST", 0.01)

    async def fails(push: Push) -> Outcome:
        return Retry("HTTP 500")

    pager = Pager(fails)
    async with delivering(tmp_path, pager, delivery_attempts=3) as site:
        await register(site, "ada", "t")
        job = await tell(site)
        assert (await job.wait(timeout=20)).failed == 1
        assert len(pager.pushes) == 3
        [result] = [result async for result in job.report()]
        assert result.devices[0].error == "HTTP 500 (tried 3 times)"
        assert await devices(site) == ["t"]


@asynchronous
async def test_only_the_providers_word_prunes_a_device(tmp_path: Path) -> None:
    async def act(push: Push) -> Outcome:
        answers: dict[str, Outcome] = {
            "dead": Dead("410"),
            "again": Dead("gone", since=1.0),
            "bad": Failed("payload"),
        }
        return answers[push.token]

    async with delivering(tmp_path, Pager(act)) as site:
        for token in ("dead", "again", "bad"):
            await register(site, token, token)
        job = await tell(site)
        assert (await job.wait(timeout=20)).failed == 3
        results = {result.user: result.devices[0] async for result in job.report()}
        assert results["dead"].state == "dead"
        assert results["bad"].error == "payload"
        assert sorted(await devices(site)) == ["again", "bad"]


@asynchronous
async def test_whatever_a_provider_does_nothing_is_lost_and_others_are_not_slowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ways = ["raises", "hangs", "nonsense", "cancels", "retry", "pauses"]
    met: set[str] = set()

    async def act(push: Push) -> Outcome:
        if push.token in met:
            return Delivered()
        met.add(push.token)
        if push.token == "raises":
            raise ConnectionResetError("peer")
        if push.token == "hangs":
            await asyncio.sleep(60)
        if push.token == "cancels":
            raise asyncio.CancelledError
        if push.token == "nonsense":
            return "200 OK"  # type: ignore[return-value]
        return Retry("429", after=0.3, pause=push.token == "pauses")

    wayward, other = Pager(act, "wayward", timeout=0.2), Pager()
    app = App()
    app.provider(wayward)
    app.provider(other)
    async with serving(app, data=str(tmp_path)) as site:
        for way in ways:
            await register(site, way, way, "wayward")
            await register(site, way, way)
        job = await tell(site)
        await eventually(lambda: len(other.pushes) == len(ways))
        assert len(met) < 2 * len(ways)
        status = await job.wait(timeout=20)
        assert (status.delivered, status.failed) == (2 * len(ways), 0)
        assert len(await devices(site)) == 2 * len(ways)
        attempts = {
            result.user: {each.provider: each.attempts for each in result.devices}
            async for result in job.report()
        }
        assert attempts["raises"]["wayward"] == 2
        assert attempts["pauses"]["wayward"] == 1, "a pause is not the delivery's fault"
        assert {each["pager"] for each in attempts.values()} == {1}


@asynchronous
async def test_a_429_pauses_its_provider_and_no_other(tmp_path: Path) -> None:
    async def act(push: Push) -> Outcome:
        return Retry("429", after=3600, pause=True)

    strict, other = Pager(act, "strict", concurrency=1), Pager()
    async with delivering(tmp_path, strict, other) as site:
        for number in range(10):
            await register(site, "ada", f"t{number}", "strict")
            await register(site, "ada", f"t{number}")
        job = await tell(site)
        await eventually(lambda: len(other.pushes) == 10 and len(strict.pushes) == 1)
        assert deliverer(site).deliverers["strict"].paused
        await job.cancel()
        assert len(strict.pushes) == 1


@asynchronous
async def test_a_provider_goes_on_after_its_pause(tmp_path: Path) -> None:
    async def act(push: Push) -> Outcome:
        return Retry("429", after=0.5, pause=True) if len(strict.pushes) == 1 else Delivered()

    strict = Pager(act, concurrency=1)
    async with delivering(tmp_path, strict) as site:
        for number in range(10):
            await register(site, "ada", f"t{number}")
        job = await tell(site)
        assert (await job.wait(timeout=20)).delivered == 10
        assert len(strict.pushes) == 11
        assert strict.times[1] - strict.times[0] >= 0.5


@asynchronous
async def test_a_long_pause_gives_back_what_is_in_hand(tmp_path: Path) -> None:
    async def act(push: Push) -> Outcome:
        return Retry("429", after=3600, pause=True)

    pager = Pager(act, concurrency=2)
    async with delivering(tmp_path, pager) as site:
        for number in range(20):
            await register(site, "ada", f"t{number}")
        job = await tell(site)
        await eventually(lambda: pager.pushes and not deliverer(site).deliverers["pager"].in_hand)
        assert len(pager.pushes) <= 2
        status = await job.cancel()
        assert (status.cancelled, status.pending) == (20, 0)
        assert (await job.wait(timeout=5)).state == "cancelled"


@asynchronous
async def test_a_rate(tmp_path: Path) -> None:
    pager = Pager(rate=100.0)
    async with delivering(tmp_path, pager) as site:
        for number in range(40):
            await register(site, "ada", f"t{number}")
        await (await tell(site)).wait(timeout=20)
        assert pager.times[-1] - pager.times[0] >= 39 / 100 - 0.11


@asynchronous
async def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    app = App()
    async with serving(app, data=str(tmp_path)) as site:
        await register(site, "ada", "t", "pigeon")
        job = await tell(site)
        assert (await job.wait(timeout=20)).failed == 1
        [result] = [result async for result in job.report()]
        assert result.devices[0].error == "there is no provider 'pigeon': is it configured?"
        assert "'pigeon'" in site.alarms.messages[0] or "pigeon" in site.alarms.messages[0]


@asynchronous
async def test_without_any_provider_a_job_is_done(tmp_path: Path) -> None:
    async with delivering(tmp_path) as site:
        job = await tell(site, *[f"u{number}" for number in range(3000)])
        status = await job.wait(timeout=20)
        assert (status.recipients, status.state) == (3000, "done")


@asynchronous
async def test_preferences_and_quiet_hours(tmp_path: Path) -> None:
    pager = Pager()
    async with delivering(tmp_path, pager) as site:
        assert site.app.store is not None
        now = time.gmtime()  # its minute has begun: a later one might not have when this is told
        quiet = QuietHours(start=f"{now.tm_hour:02}:{now.tm_min:02}", end="00:00")
        if quiet.start >= "23:00":
            quiet = QuietHours(start="23:00", end="12:00")
        wishes = {
            "no": Preferences(topics={"news": {"email": False}}),
            "yes": Preferences(channels={"email": False}),
            "asleep": Preferences(quiet_hours=quiet),
        }
        for user, preferences in wishes.items():
            await register(site, user, user)
            stored = msgspec.json.encode(preferences)
            await site.app.store.do(SetPreferences(user, stored))
        await register(site, "old", "old")
        older = b'{"quiet_hours":{"start":"10:00\\n","end":"07:00"}}'  # was taken once
        await site.app.store.do(SetPreferences("old", older))
        job = await tell(site, topic="news", ttl=3)
        await eventually(lambda: len(pager.pushes) == 3)
        assert sorted(pager.tokens) == ["no", "old", "yes"]
        urgent = await tell(site, "asleep", critical=True)
        assert (await urgent.wait(timeout=20)).delivered == 1
        status = await job.cancel()
        assert (status.delivered, status.cancelled) == (3, 1)


@asynchronous
async def test_what_the_user_does_not_want_is_suppressed(tmp_path: Path) -> None:
    pager = Pager(name="email")
    async with delivering(tmp_path, pager) as site:
        assert site.app.store is not None
        await register(site, "ada", "a", "email")
        await site.app.store.do(SetPreferences("ada", b'{"topics":{"news":{"email":false}}}'))
        status = await (await tell(site, topic="news")).wait(timeout=20)
        assert (status.suppressed, status.delivered) == (1, 0)
        await site.app.store.do(SetPreferences("bob", b'{"topics":{"news":{"inbox":false}}}'))
        job = await tell(site, "ada", "bob", "eve", topic="news")
        await job.wait(timeout=20)
        states = {result.user: result.state async for result in job.report()}
        assert states == {"ada": "suppressed", "bob": "suppressed", "eve": "inbox"}
        assert (await (await tell(site, topic="news", critical=True)).wait(timeout=20)).delivered
        assert len(pager.pushes) == 1


@asynchronous
async def test_what_is_over_is_deleted_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FIRST", 0.0)
    monkeypatch.setattr(retention, "EVERY", 0.05)
    async with delivering(tmp_path, Pager(), retention=2) as site:
        store = site.app.store
        assert store is not None
        for days in (1, 3):
            await store.do(accept(f"{days} days", "ada", at=time.time() - days * 86_400))

        async def inbox() -> list[str]:
            return [item.id for item in await store.do(Inbox("ada"))]

        while await inbox() != ["1 days"]:
            await asyncio.sleep(0.01)


@asynchronous
async def test_a_scheduled_one_is_sent_when_it_is_due(tmp_path: Path) -> None:
    pager = Pager()
    async with delivering(tmp_path, pager) as site:
        await register(site, "ada", "t")
        at = time.time() + 0.6
        job = await tell(site, send_at=at)
        late = await tell(site, send_at=time.time() + 3600)
        assert (await job.status()).state == "scheduled"
        assert pager.pushes == []
        assert (await job.wait(timeout=20)).delivered == 1
        assert time.time() >= at
        assert deliverer(site).take_lag() > 0
        assert (await late.cancel()).state == "cancelled"
        assert (await late.wait(timeout=5)).settled


@asynchronous
async def test_what_is_due_together_is_released_and_expires_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store takes ten at a time; they do not wait for the next look."""
    monkeypatch.setattr(delivery, "LOOK", 3_600.0)
    monkeypatch.setattr(deliverer_module, "FINISH", 0.0)
    async with local(tmp_path) as store:
        await store.do(RegisterDevice("ada", "pager", "t", 50.0))
        for number in range(35):
            await store.do(accept(f"due {number}", "ada", send_at=150.0))
            await store.do(accept(f"over {number}", "ada", expires_at=150.0))
        clocks = Clocks(lambda: 200.0, time.monotonic, lambda: 0.0)
        delivering = Delivery([Pager(concurrency=1, rate=0.001)], store, Composer(), clocks)
        running = asyncio.create_task(delivering.run())

        async def states(name: str) -> set[str]:
            rows = [await store.do(GetNotification(f"{name} {n}")) for n in range(35)]
            return {row.state for row in rows}

        async with asyncio.timeout(5):
            while await states("due") & {"scheduled"} or await states("over") != {"done"}:
                await asyncio.sleep(0.01)
        delivering.end()
        await running


@asynchronous
async def test_a_digest_is_one_push_for_several(tmp_path: Path) -> None:
    pager = Pager()
    async with delivering(tmp_path, pager) as site:
        await register(site, "ada", "t")
        digest = Digest(key="likes", window=1, title="{count} new likes")
        jobs = [await tell(site, digest=digest, title=f"like {number}") for number in range(3)]
        for job in jobs:
            assert (await job.wait(timeout=20)).delivered == 1
        [push] = pager.pushes
        assert (push.title, push.collapse_key) == ("3 new likes", "digest:likes")


@asynchronous
async def test_a_digest_hides_nothing_that_is_wanted(tmp_path: Path) -> None:
    pager = Pager(name="email")
    async with delivering(tmp_path, pager) as site:
        assert site.app.store is not None
        await register(site, "ada", "t", "email")
        await site.app.store.do(SetPreferences("ada", b'{"topics":{"likes":{"email":false}}}'))
        digest = Digest(key="activity", window=1)
        wanted = await tell(site, digest=digest, title="a comment", topic="comments")
        unwanted = await tell(site, digest=digest, title="a like", topic="likes")
        assert (await wanted.wait(timeout=20)).delivered == 1
        assert (await unwanted.wait(timeout=20)).suppressed == 1
        assert [push.title for push in pager.pushes] == ["a comment"]


@asynchronous
async def test_at_the_end_what_is_on_its_way_is_finished_and_the_rest_waits(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()

    async def wait(push: Push) -> Outcome:
        asyncio.get_running_loop().call_later(0.2, gate.set)
        await gate.wait()
        return Delivered()

    first, second = Pager(wait, concurrency=3), Pager()
    async with delivering(tmp_path, first) as site:
        for number in range(10):
            await register(site, "ada", f"t{number}")
        job = await tell(site)
        await eventually(lambda: len(first.pushes) == 3)
    assert len(first.pushes) == 3
    async with delivering(tmp_path, second) as site:
        again = await site.app.job(job.id)
        assert (await again.wait(timeout=20)).delivered == 10
    assert sorted(first.tokens + second.tokens) == sorted(f"t{number}" for number in range(10))


@asynchronous
async def test_templates_speak_the_users_language(tmp_path: Path) -> None:
    pager = Pager()
    app = App()
    app.provider(pager)
    app.template("order", title="Order {{ id }}", body="is {{ state }}")
    app.template("order", title="Bestellung {{ id }}", locale="de")
    async with serving(app, data=str(tmp_path)) as site:
        assert site.app.store is not None
        await register(site, "ada", "ada")
        await register(site, "uwe", "uwe")
        await site.app.store.do(SetPreferences("uwe", b'{"locale":"de-AT"}'))
        job = await tell(
            site, title="", template="order", variables={"id": "{{ 7 }}", "state": "sent"}
        )
        await job.wait(timeout=20)
        said = {push.user: (push.title, push.body) for push in pager.pushes}
        assert said["ada"] == ("Order {{ 7 }}", "is sent")
        assert said["uwe"] == ("Bestellung {{ 7 }}", "is sent")
        with pytest.raises(BadNotification, match="no template 'none'"):
            await tell(site, template="none")
