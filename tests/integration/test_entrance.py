"""Who comes in: as many as may, to each worker its share, and a clear word to the next one."""

from __future__ import annotations

import asyncio
import socket as sockets

import pytest

from hocket import App
from hocket.broker.local import LocalBroker
from hocket.errors import UsageError
from hocket.transport.entrance import SLACK, SLACK_NEWS, Entrance
from tests.support import (
    Site,
    WebSocketClient,
    Wire,
    asynchronous,
    eventually,
    serving,
    serving_together,
)


async def refused(site: Site) -> bool:
    """Whether a new client is turned away."""
    async with await Wire.to(site) as wire:
        answer = await wire.request("GET", "/socket.io/?EIO=4&transport=polling")
        return (answer.status, answer["retry-after"]) == (503, "5")


@asynchronous
async def test_one_more_than_may_is_told_so_and_comes_in_when_there_is_room() -> None:
    async with serving(App(), max_connections=3) as site:
        clients = [await WebSocketClient.joined(site) for _ in range(3)]
        assert await refused(site)
        assert await refused(site)
        assert site.alarms.messages == [
            "no room: a client was turned away; 3 are there, more may not be"
        ]
        clients.pop().close()
        await eventually(lambda: site.open_files == 2)
        clients.append(await WebSocketClient.joined(site))
        assert await refused(site)
        for client in clients:
            await client.say('42["still served"]')
            client.close()


@pytest.mark.parametrize("count", [-1, "many", 1e9])
def test_what_no_number_of_connections_is(count: object) -> None:
    with pytest.raises(UsageError, match="max_connections"):
        App(max_connections=count)


def shared_listener(site: Site) -> sockets.socket:
    """The listening socket of a worker, for another one to accept from too."""
    listener = site.worker.entrance.listener
    assert listener is not None
    return listener.dup()


@asynchronous
async def test_workers_share_what_comes_and_the_last_one_with_room_gets_the_rest() -> None:
    async with serving_together(App, max_connections=8, workers=2) as sites:
        one, other = [site.worker for site in sites]
        other.entrance.close()
        other.open(shared_listener(sites[0]))
        clients = []
        for count in range(1, 9):
            clients.append(await WebSocketClient.joined(sites[0]))
            assert sum(site.sessions for site in sites) == count
        assert [site.sessions for site in sites] == [4, 4]
        await eventually(lambda: _shares(one.broker) == [4] and _shares(other.broker) == [4])
        assert await refused(sites[0])
        for client in clients[:4]:
            client.close()
        await eventually(lambda: sum(site.sessions for site in sites) == 4)
        left = [site.sessions for site in sites]
        await eventually(lambda: _shares(one.broker) + _shares(other.broker) == left[::-1])
        clients += [await WebSocketClient.joined(sites[0]) for _ in range(4)]
        assert sum(site.sessions for site in sites) == 8
        for client in clients[4:]:
            client.close()


def _shares(broker: LocalBroker | None) -> list[int]:
    return broker.shares() if broker is not None else []


class Crowd:
    """Connections that are there."""

    def __init__(self) -> None:
        self.count = 0

    def __len__(self) -> int:
        return self.count


@asynchronous
async def test_who_rests_begins_again_as_soon_as_others_have_come_along() -> None:
    crowd, theirs = Crowd(), [0]
    entrance = Entrance(asyncio.get_running_loop(), crowd, 10_000, lambda fd, address: None)
    entrance.others = lambda: theirs
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        entrance.open(listener.dup())
        crowd.count = SLACK + 10
        entrance._accept()
        theirs[0] = 9
        entrance.heard()
        assert not entrance.is_listening
        theirs[0] = 10
        entrance.heard()
        assert entrance.is_listening
        entrance.heard()
        entrance.close()
        entrance.heard()
        assert not entrance.is_listening


@asynchronous
async def test_what_a_worker_tells_another_is_heard_at_the_entrance() -> None:
    async with serving_together(App) as sites:
        one, other = [site.worker for site in sites]
        crowd = Crowd()
        one.entrance._inside, crowd.count = crowd, SLACK + 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hocket.transport.entrance.REST", 1e6)
            one.entrance._accept()
        assert not one.entrance.is_listening
        assert other.broker is not None
        other.broker.tick(1, unchanged=False)
        await eventually(lambda: one.entrance.is_listening)


@asynchronous
async def test_who_knows_others_only_roughly_may_be_further_ahead() -> None:
    crowd = Crowd()
    entrance = Entrance(asyncio.get_running_loop(), crowd, 10_000, lambda fd, address: None)
    entrance.others = lambda: [0, 50]
    entrance.news = SLACK
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        entrance.open(listener.dup())
        crowd.count = SLACK_NEWS * SLACK
        entrance._accept()
        assert entrance.is_listening
        crowd.count += 1
        entrance._accept()
        assert not entrance.is_listening
        entrance.close()


@asynchronous
async def test_who_is_ahead_leaves_the_next_to_others_unless_they_take_none() -> None:
    loop = asyncio.get_running_loop()
    with sockets.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        listener.setblocking(False)
        fds: list[int] = []
        crowd, theirs = Crowd(), [0, 50]

        def accepted(fd: int, address: str) -> None:
            fds.append(fd)
            crowd.count += 1

        entrance = Entrance(loop, crowd, 10_000, accepted)
        entrance.others = lambda: theirs
        clients = [sockets.create_connection(listener.getsockname()) for _ in range(4 * SLACK)]
        entrance.open(listener.dup())
        await eventually(lambda: crowd.count == SLACK + 1)
        assert not entrance.is_listening
        theirs[0] = 40  # they come along: now it is this one's turn again
        await eventually(lambda: crowd.count == SLACK + 41)
        await eventually(lambda: crowd.count == len(clients))  # they do not: somebody must
        entrance.close()
        for fd in fds:
            sockets.socket(fileno=fd).close()
        for client in clients:
            client.close()
