"""What `hocket bench` refuses before it has sent a byte, and how it spreads its clients."""

from __future__ import annotations

import argparse
import os
import socket as sockets
from typing import Any

import msgspec
import pytest

from hocket.bench import plan as plans
from hocket.bench.plan import Plan, capacity, checked, processes_for
from hocket.bench.target import PER_SOURCE, Target, find
from hocket.cli.bench import add_to, make_plan
from hocket.errors import UsageError

LOCAL = Target("http://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80, "/", "")


def plan(**given: Any) -> Plan:
    return msgspec.structs.replace(Plan(target=LOCAL), **given)


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_to(parser.add_subparsers())
    return parser.parse_args(["bench", *words])


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may open 20,000 files, and there are two cores."""
    monkeypatch.setattr(plans, "open_files", lambda: 20_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)


# Where to


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def resolve(host: str, port: int, **how: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(sockets, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, "/", "", "127.0.0.1:8080")),
        ("ws://127.0.0.1/echo?a=1", ("127.0.0.1", 80, "/echo", "a=1", "127.0.0.1")),
        ("127.9.8.7:81", ("127.9.8.7", 81, "/", "", "127.9.8.7:81")),
        ("http://[::1]:82/admin", ("::1", 82, "/admin", "", "[::1]:82")),
        ("http://0.0.0.0:83", ("127.0.0.1", 83, "/", "", "0.0.0.0:83")),
    ],
)
def test_urls(url: str, expected: tuple[Any, ...]) -> None:
    target = find(url, False)
    assert (target.address, target.port, target.path, target.query, target.host) == expected


@pytest.mark.parametrize(
    "url", ["http://", "ftp://127.0.0.1", "http://127.0.0.1:x", "http://127.0.0.1:0", "http://[::1"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL such as"):
        find(url, False)


def test_a_password_in_the_url_would_not_be_sent() -> None:
    with pytest.raises(UsageError, match="see --auth and --token"):
        find("http://ada:secret@127.0.0.1", False)


@pytest.mark.parametrize(
    ("url", "port", "name"),
    [
        ("https://127.0.0.1", 443, "127.0.0.1"),
        ("wss://127.0.0.1:8443/chat", 8443, "127.0.0.1"),
        ("https://localhost:1", 1, "localhost"),
        ("https://[::1]:1", 1, "::1"),
    ],
)
def test_over_tls(url: str, port: int, name: str) -> None:
    target = find(url, False)
    assert (target.tls, target.port, target.name) == (True, port, name)
    assert not find("ws://127.0.0.1", False).tls


@pytest.mark.parametrize(
    "addresses", [("192.0.2.1",), ("127.0.0.1", "192.0.2.1"), ("::1", "2001:db8::1")]
)
def test_another_machine_only_when_told_so(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolving(monkeypatch, *addresses)
    with pytest.raises(UsageError, match=r"another machine.*--allow-remote"):
        find("http://chat.example", False)
    assert not find("http://chat.example", True).url.startswith("https")


def test_a_name_with_two_loopback_addresses_is_the_older_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "::1", "127.0.0.1")
    assert find("http://localhost:8080", False).address == "127.0.0.1"


def test_a_machine_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: Any, **how: Any) -> Any:
        raise sockets.gaierror

    monkeypatch.setattr(sockets, "getaddrinfo", resolve)
    with pytest.raises(UsageError, match="there is no machine called chat"):
        find("http://chat", False)


# From where


def test_no_source_address_has_over_10_000_clients_or_two_processes() -> None:
    whole = plan(connections=1_000_000, processes=60)
    sources = [LOCAL.sources(number, whole.largest_share) for number in range(60)]
    assert all(len(each) * PER_SOURCE >= whole.largest_share for each in sources)
    assert len({address for each in sources for address in each}) == sum(map(len, sources))
    assert sources[0] == ["127.0.0.1", "127.0.0.2"]


def test_elsewhere_the_kernel_chooses_the_source() -> None:
    assert find("http://[::1]:80", False).sources(3, 500) == []
    assert Target("", "", "192.0.2.1", 80, "/", "").sources(0, 500) == []


# How many


def test_every_client_is_in_one_process() -> None:
    whole = plan(connections=1001, processes=7)
    assert [n for number in range(7) for n in whole.share(number)] == list(range(1001))
    assert max(len(whole.share(number)) for number in range(7)) == whole.largest_share


@pytest.mark.parametrize(
    ("connections", "expected"), [(1, 1), (2, 2), (30_000, 2), (50_000, 3), (1_000_000, 53)]
)
def test_a_process_a_core_and_more_where_files_are_short(
    files: None, connections: int, expected: int
) -> None:
    asked = plan(connections=connections)
    assert processes_for(asked) == expected
    assert checked(asked, expected).largest_share <= capacity(asked)


def test_too_few_processes_for_the_limit_of_open_files(files: None) -> None:
    wanted = "50000 clients need --processes 3 or more: one process may open 20000 files"
    with pytest.raises(UsageError, match=wanted):
        checked(plan(connections=50_000), 2)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"raw": True, "scenario": "broadcast"}, "needs a Socket.IO server"),
        ({"raw": True, "scenario": "rooms"}, "needs a Socket.IO server"),
        ({"raw": True, "scenario": "echo", "transport": "upgrade"}, "knows no --transport"),
        ({"scenario": "churn"}, "needs --rate"),
        ({"scenario": "broadcast", "rate": 1e4, "seconds": 60}, "over 100,000 rounds"),
        ({"scenario": "rooms", "rooms": 1001}, "1001 rooms need as many --connections"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        checked(plan(**given), 1)


def test_one_source_address_is_enough_for_10_000() -> None:
    one = find("http://[::1]:80", False)
    with pytest.raises(UsageError, match=r"use 127\.0\.0\.1"):
        checked(plan(target=one, connections=10_001), 4)
    assert checked(plan(target=one, connections=10_000), 4).processes == 4


# Flags


@pytest.mark.parametrize(("words", "rooms"), [(("70",), 70), (("5000",), 1000)])
def test_no_more_rooms_than_clients_unless_asked_for(words: tuple[str, ...], rooms: int) -> None:
    url = "http://127.0.0.1:81"
    made = make_plan(arguments(url, "--scenario=rooms", "--connections", *words))
    assert made.rooms == rooms
    with pytest.raises(UsageError, match="80 rooms need as many --connections"):
        make_plan(arguments(url, "--scenario=rooms", "--connections=70", "--rooms=80"))


def test_flags_make_a_plan() -> None:
    made = make_plan(
        arguments(
            "http://127.0.0.1:81/admin",
            "--scenario=rooms",
            "--rooms=7",
            "--rate=0.5",
            "--connections=70",
            "--processes=3",
            "--path=chat/",
            '--auth={"name":"ada"}',
            "--token=t",
        )
    )
    assert (made.rooms, made.rate, made.connections, made.processes) == (7, 0.5, 70, 3)
    assert (made.path, made.namespace) == ("/chat/", "/admin")
    assert made.auth == {"name": "ada", "token": "t"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--connections", "many"], "--connections: 'many' is not possible"),
        (["--connections", "0"], "it takes from 1 to"),
        (["--seconds", "nan"], "--seconds: 'nan' is not possible"),
        (["--size", "39"], "from 40 to 60000"),
        (["--auth", "[1]"], "is no JSON object"),
        (["--auth", "{"], "is no JSON object"),
    ],
)
def test_flags_that_are_not_possible(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        make_plan(arguments("http://127.0.0.1:81", *words))
