"""Requests for a WebSocket that are the same but for their keys: looked at once, answered each."""

from __future__ import annotations

import pytest

from hocket.errors import TRANSPORT_CLOSE
from hocket.protocol.http1 import Request
from hocket.protocol.websocket import accept_token
from hocket.transport.origins import Origins
from tests.support import head
from tests.unit.transport.station import PATH, Station, station

KEYS = ("dGhlIHNhbXBsZSBub25jZQ==", "x3JJHMbDL1EzLkh9GBhXDw==", "AQIDBAUGBwgJCgsMDQ4PEA==")
SWITCHES = b"HTTP/1.1 101 "


def ask(here: Station, key: str, *fields: str, target: str = PATH + "websocket") -> bytes:
    """All that answers a request that differs in its key from others."""
    peer = here.peer()
    asks = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    peer.send(head("x", target, "GET", *asks, f"Sec-WebSocket-Key: {key}", *fields))
    return peer.read()


def test_each_is_answered_by_its_own_key_and_has_a_session_of_its_own() -> None:
    with station() as here:
        for key in KEYS:
            answer = ask(here, key)
            assert answer.startswith(SWITCHES)
            token = accept_token(key.encode())
            assert b"\r\nSec-WebSocket-Accept: %b\r\n\r\n" % token in answer
        came = [connection.head for connection in here.engine.connections.values()]
        assert len(came) == len(KEYS)
        assert all(key.encode() in head for key, head in zip(KEYS, came, strict=True))


def test_they_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Request] = []
    admits = Origins.admits

    def counting(origins: Origins, request: Request) -> bool:
        looked.append(request)
        return admits(origins, request)

    monkeypatch.setattr(Origins, "admits", counting)
    with station() as here:
        assert all(ask(here, key).startswith(SWITCHES) for key in KEYS)
    assert len(looked) == 1


def test_one_that_may_not_come_may_not_come_again() -> None:
    with station() as here:
        for key in KEYS:
            assert b" 403 " in ask(here, key, "Origin: http://elsewhere.example")
        assert not here.engine.connections


@pytest.mark.parametrize("bad", ["", "AQIDBAUGBwgJCgsMDQ4PEA", "AQIDBAUGBwgJCgsMDQ4P!A=="])
def test_a_bad_key_is_refused_among_good_ones(bad: str) -> None:
    with station() as here:
        assert ask(here, KEYS[0]).startswith(SWITCHES)
        assert b" 400 " in ask(here, bad)
        assert ask(here, KEYS[1]).startswith(SWITCHES)


def test_whether_there_is_such_a_session_is_asked_each_time() -> None:
    with station() as here:
        polled = here.polling()
        target = f"{PATH}websocket&sid={polled.sid}"
        assert ask(here, KEYS[0], target=target).startswith(SWITCHES)
        here.engine.close(polled.connection, TRANSPORT_CLOSE)
        assert b"Session ID unknown" in ask(here, KEYS[1], target=target)


def test_whether_there_is_room_is_asked_each_time() -> None:
    with station() as here:
        assert ask(here, KEYS[0]).startswith(SWITCHES)
        here.gateway.stops = True
        assert b" 503 " in ask(here, KEYS[1])
