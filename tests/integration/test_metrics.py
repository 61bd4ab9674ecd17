"""`GET /metrics`: what an operator sees."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hocket import App, Socket
from hocket.errors import UsageError
from hocket.instance.control import Numbers
from hocket.instance.garbage import MUCH, Garbage, is_time
from hocket.instance.metrics import METRICS, Lag
from hocket.settings import load
from tests.support import WebSocketClient, Wire, asynchronous, head, serving

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"


def chatty() -> App:
    app = App()

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.join("general")

    @app.on("say")
    async def say(socket: Socket, text: str) -> None:
        app.to("general").emit("said", text)

    return app


async def answer(site: Any, *fields: str) -> tuple[int, str]:
    async with await Wire.to(site) as wire:
        await wire.send(head(site.host, "/metrics", "GET", *fields))
        got = await wire.answer()
        return got.status, got.body.decode()


async def numbers(site: Any) -> dict[str, float]:
    _, text = await answer(site)
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@asynchronous
async def test_what_is_counted() -> None:
    async with serving(chatty()) as site:
        clients = [await WebSocketClient.joined(site) for _ in range(3)]
        for _ in range(2):
            await clients[0].say('42["say","hello"]')
        for client in clients:
            assert [await client.text() for _ in range(2)] == ['42["said","hello"]'] * 2
        seen = await numbers(site)
        assert seen['hocket_connections{transport="websocket"}'] == 3
        assert seen['hocket_connections_opened_total{transport="websocket"}'] == 3
        assert seen["hocket_sockets"] == 3
        assert seen["hocket_rooms"] == 1
        assert seen["hocket_events_received_total"] == 2
        assert seen["hocket_events_sent_total"] == 6
        assert seen['hocket_handler_calls_total{event="say",namespace="/"}'] == 2
        assert seen['hocket_handler_calls_total{event="connect",namespace="/"}'] == 3
        assert 0 < seen['hocket_handler_seconds_total{event="say",namespace="/"}'] < 5
        assert seen["hocket_sent_bytes_total"] > 6 * len('42["said","hello"]')
        assert seen["hocket_received_bytes_total"] > 500
        assert seen["hocket_http_requests_total"] == 4
        assert seen["hocket_open_files"] == 4
        assert seen["hocket_slow_consumers_total"] == 0
        assert seen["hocket_outboxes"] == seen["hocket_outbox_bytes"] == 0
        assert seen["process_open_fds"] > 4
        for client in clients:
            client.close()


@asynchronous
async def test_bytes_that_wait_for_a_slow_reader_are_counted_as_sent() -> None:
    app, piece = chatty(), "x" * 20_000
    async with (
        serving(app, max_outbox=200_000) as site,
        await WebSocketClient.to(site, receive_buffer=4096) as slow,
    ):
        await slow.upgrade("/socket.io/?EIO=4&transport=websocket")
        await slow.text()
        await slow.say("40")
        await slow.text()
        before, count, after = await numbers(site), 0, await numbers(site)
        while after["hocket_outbox_bytes"] < 5 * len(piece):
            app.emit("news", piece)
            count += 1
            after = await numbers(site)
        said = f'42["news","{piece}"]'
        told = count * (4 + len(said))  # a frame of less than 65,536 bytes has a head of 4
        pages = (count + 2) * 20_000  # the numbers themselves, some 10,000 bytes each time
        grown = after["hocket_sent_bytes_total"] - before["hocket_sent_bytes_total"]
        assert told <= grown < told + pages
        assert [await slow.text() for _ in range(count)] == [said] * count


@asynchronous
async def test_each_metric_is_there_and_documented() -> None:
    page = PAGE.read_text()
    async with serving(chatty()) as site:
        _, text = await answer(site)
    named = set(re.findall(r"# TYPE (hocket_\w+) ", text))
    ours = {
        f"hocket_{each.name}" + ("_total" if each.kind == "counter" else "") for each in METRICS
    }
    assert named == ours
    for name in named:
        assert f"`{name}`" in page


@pytest.mark.parametrize(
    ("settings", "fields", "status"),
    [
        ({}, (), 200),
        ({}, ("X-Forwarded-For: 203.0.113.7",), 404),
        ({}, ("X-Forwarded-For: 127.0.0.1",), 404),
        ({}, ("Via: 1.1 proxy",), 404),
        ({"trusted_proxies": "127.0.0.1"}, ("X-Forwarded-For: 203.0.113.7",), 404),
        ({"metrics": "all"}, ("X-Forwarded-For: 203.0.113.7",), 200),
        ({"metrics": "off"}, (), 404),
    ],
)
@asynchronous
async def test_who_may_read_them(
    settings: dict[str, Any], fields: tuple[str, ...], status: int
) -> None:
    async with serving(chatty(), **settings) as site:
        assert (await answer(site, *fields))[0] == status


@asynchronous
async def test_numbers_of_several_processes_are_told_as_one() -> None:
    async with serving(chatty()) as site:

        async def count_all() -> list[Numbers]:
            one: Numbers = {"rooms": [((), 1)], "connections_closed": [(("a",), 2), (("b",), 3)]}
            other: Numbers = {"rooms": [((), 2)], "connections_closed": [(("b",), 4)]}
            return [one, other, {"loop_lag_seconds": [((), 0.5)]}, {"loop_lag_seconds": [((), 2)]}]

        site.worker.count_all = count_all
        seen = await numbers(site)
        assert seen["hocket_rooms"] == 3
        assert seen['hocket_connections_closed_total{reason="a"}'] == 2
        assert seen['hocket_connections_closed_total{reason="b"}'] == 7
        assert seen["hocket_loop_lag_seconds"] == 2


@asynchronous
async def test_a_supervisor_that_does_not_answer_is_no_reason_to_tell_less() -> None:
    async with serving(chatty()) as site:

        async def count_all() -> list[Numbers]:
            raise TimeoutError

        site.worker.count_all = count_all
        assert (await answer(site))[0] == 503


def test_a_setting_that_is_none_of_the_choices() -> None:
    with pytest.raises(UsageError, match="local or all or off"):
        load({"metrics": "public"}, environ={}, file=None)


def test_lag_is_the_longest_since_it_was_read() -> None:
    lag = Lag(0.5)
    for now in (1.0, 1.5, 2.3, 2.8):
        lag.tick(now)
    assert lag.take() == pytest.approx(0.3)
    assert lag.take() == 0.0


def test_a_look_at_everything_waits_for_a_quiet_moment_but_not_for_ever() -> None:
    assert not is_time(100, 100, 0.0)
    assert is_time(101, 100, 0.0)
    assert not is_time(101, 100, 0.9)
    assert is_time(MUCH * 100 + 1, 100, 1.0)


def test_a_moment_without_work_in_a_busy_second_is_not_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used, shares = 0.0, list[float]()

    def is_due(share: float) -> bool:
        shares.append(share)
        return False

    garbage = Garbage(lambda: 0.0, lambda: used)
    monkeypatch.setattr(garbage, "_settled", True)
    monkeypatch.setattr(garbage, "_is_due", is_due)
    for tenth in range(1, 21):
        used += 0.5 if tenth in (3, 17) else 0.0
        garbage.tick(tenth / 10)
    assert shares == [0.5, 0.5]


SETTLING = """
from hocket.instance.garbage import Garbage

now, used, shares = 1000.0, 50.0, []
collector = Garbage(lambda: now, lambda: used)
collector._is_due = shares.append
collector.settle()
collector.tick(1000.1)
used += 0.75
collector.tick(1001.0)
print(shares)
"""


def test_what_was_before_it_settled_makes_no_second_quiet() -> None:
    """All that moves at a reload comes in the moment after."""
    assert subprocess.check_output([sys.executable, "-c", SETTLING], text=True) == "[0.75]\n"


STAY_AND_GO = """
import gc
from hocket.instance import garbage
from hocket.instance.garbage import Garbage

class Client:
    def __init__(self):
        self.itself = self

def in_sight():
    return sum(type(each) is Client for each in gc.get_objects())

garbage.STAY, garbage.MORE, garbage.CAME = 1_000, 10_000, 1
used, came = 0.0, 0

def one_more():
    global came
    came += 1
    return came

collector = Garbage(clock=lambda: 0.0, cpu=lambda: used, came=one_more)
collector.settle()
before = gc.get_freeze_count()

clients = [Client() for _ in range(2_000)]
gc.collect(0)
collector.tick(1.0)
print(len(gc.get_objects(generation=2)) < 1_000, gc.get_freeze_count() >= before + 2_000)

del clients
gc.collect()
print(gc.get_freeze_count() >= before + 2_000)

clients, now = [], 2.0
while gc.get_freeze_count() > before + 1_000 and now < 100:
    clients = [Client() for _ in range(2_000)]
    gc.collect(0)
    collector.tick(now)
    now += 1.0
    clients.clear()
    gc.collect(0)
    collector.tick(now)
    now += 1.0
print(now < 100)

clients = [Client() for _ in range(500)]
print(in_sight() == 500)
collector.stay()
print(in_sight() == 0)
"""


def test_what_stays_is_out_of_sight_until_it_might_be_much_garbage() -> None:
    """In a process of its own, in which nothing else is out of sight."""
    told = subprocess.check_output([sys.executable, "-c", STAY_AND_GO], text=True)
    assert told.split() == ["True"] * 6


RUNNING = """
import gc
from collections import deque
from hocket.instance import garbage
from hocket.instance.garbage import Garbage

class Left:
    alive = 0
    def __init__(self):
        self.itself = self
        Left.alive += 1
    def __del__(self):
        Left.alive -= 1

now, came = 0.0, 0
collector = Garbage(lambda: now, lambda: now / 2, lambda: came)
collector.settle()
most = []
for clients, held in ((0, 17), (20, 17), (0, 170)):  # that come a second; what a handler holds
    running = deque()
    for handler in range(20_000):  # 1,000 a second, half a core busy, 300 at a time
        running.append([Left(), *([] for _ in range(held - 2))])
        if len(running) > 300:
            running.popleft()
        now += 0.001
        came += handler % 50 == 0 and clients > 0
        if handler % 100 == 0:
            collector.tick(now)
    most.append(Left.alive)
print(most[0] < 5_000, most[1] < 10_000, gc.get_freeze_count() > 1)
"""


def test_what_runs_is_no_reason_to_keep_what_it_leaves_behind() -> None:
    told = subprocess.check_output([sys.executable, "-c", RUNNING], text=True)
    assert told.split() == ["True"] * 3


def test_the_collectors_pauses_are_measured() -> None:
    moments = iter([1.0, 1.25, 2.0, 2.5])
    garbage = Garbage(lambda: next(moments))
    garbage.watch()
    try:
        gc.collect()
        gc.collect()
    finally:
        garbage.stop()
    assert (garbage.collections, garbage.paused, garbage.longest) == (2, 0.75, 0.5)
