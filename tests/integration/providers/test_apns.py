"""APNs against HTTP/2 servers of other makes: Node's, which checks what Apple checks and misbehaves
on demand, and nghttpd.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hocket.errors import UsageError
from hocket.providers import http2, pool
from hocket.providers.apns import OLDEST, YOUNGEST, Apns, ProviderToken, payload_of, read_key
from hocket.providers.base import Dead, Delivered, Failed, Outcome, Retry
from tests.deploy.certificates import Certificate, make_certificate
from tests.integration.programs import Program, program
from tests.peers import push, settings
from tests.support import asynchronous, eventually

NODE = Path(__file__).resolve().parents[2] / "node"

needs_node = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl"),
]


class Files(NamedTuple):
    certificate: Certificate
    key: str


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("apns")
    return Files(make_certificate(folder), p8(folder))


def p8(folder: Path, curve: Any = None) -> str:
    key = generate_private_key(curve or SECP256R1())
    file = folder / "AuthKey.p8"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(file)


def device(kind: str, number: int = 0) -> str:
    """A device token that has the server do something: see apple.mjs."""
    return f"{kind}{number:062x}"


class Apple:
    """The server in Node, and what it was asked."""

    def __init__(self, running: Program, url: str) -> None:
        self._running = running
        self.url = url

    def asked(self, count: int = 1) -> list[dict[str, Any]]:
        """The next so many requests."""
        return [json.loads(self._running.line()) for _ in range(count)]


@asynccontextmanager
async def apple(files: Files, streams: str = "") -> AsyncIterator[Apple]:
    certificate = files.certificate
    arguments = [str(certificate.public), str(certificate.key), files.key, *filter(None, [streams])]
    with program("node", "apple.mjs", *arguments, cwd=NODE) as running:
        yield Apple(running, running.line())


def made(files: Files, url: str, **changes: Any) -> Apns:
    context = ssl.create_default_context(cafile=str(files.certificate.public))
    given = {
        "apns_key": files.key,
        "apns_key_id": "KEY1234567",
        "apns_team": "TEAM123456",
        "apns_topic": "com.example.app",
        "apns_url": url,
        "apns_connections": 1,
        **changes,
    }
    return Apns(settings(**given), context)


class TestAgainstNode:
    pytestmark = needs_node

    @asynchronous
    async def test_a_push_is_what_apple_takes(self, files: Files) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            before = time.time()
            first = await sender.send(push(device("ff")))
            again = await sender.send(push(device("ff")))
            assert isinstance(first, Delivered)
            assert first == again  # the same apns-id for a repeat
            assert len(first.id) == 36
            asked, _ = there.asked(2)
            assert asked["wrong"] == ""
            assert asked["payload"] == {
                "aps": {
                    "alert": {"title": "Hello", "body": "The kettle boils"},
                    "sound": "default",
                },
                "id": "n1",
                "data": {"room": "kitchen", "count": 3},
                "url": "https://example.com/kitchen",
                "icon": "https://example.com/icon.png",
            }
            headers = asked["headers"]
            assert headers["apns-collapse-id"] == "kettle"
            assert headers["apns-priority"] == "10"
            assert before + 3590 <= int(headers["apns-expiration"]) <= time.time() + 3600
            await sender.close()

    @asynchronous
    async def test_what_answers_mean(self, files: Files) -> None:
        table: dict[str, Outcome] = {
            "01": Dead("HTTP 410 Unregistered", 1_700_000_000.123),
            "02": Dead("HTTP 410 ExpiredToken", 0.0),
            "03": Failed("HTTP 400 BadDeviceToken"),
            "04": Failed("HTTP 400 DeviceTokenNotForTopic"),
            "05": Retry("HTTP 429 TooManyRequests", 7.0),
            "06": Retry("HTTP 429 TooManyProviderTokenUpdates", 60.0, pause=True),
            "07": Retry("HTTP 500 InternalServerError"),
            "08": Retry("HTTP 503 ServiceUnavailable", 30.0),
            "09": Retry("HTTP 403 InvalidProviderToken", 60.0, pause=True),
            "0a": Retry("HTTP 400 IdleTimeout"),
            "0b": Failed("HTTP 413 PayloadTooLarge"),
            "0c": Retry("the server reset it (2)"),
            "0f": Failed("HTTP 410"),
            "10": Failed("HTTP 410 SomethingNew"),
            "11": Failed("HTTP 404 BadPath"),
            "12": Failed("HTTP 400"),
        }
        async with apple(files) as there:
            sender = made(files, there.url)
            got = {kind: await sender.send(push(device(kind))) for kind in table}
            assert got == table
            assert {each["connection"] for each in there.asked(len(table))} == {1}
            await sender.close()

    @asynchronous
    async def test_a_connection_that_breaks_is_made_anew(self, files: Files) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            lost = await sender.send(push(device("0e")))
            assert isinstance(lost, Retry)
            assert lost.error.startswith("the connection was lost")
            assert isinstance(await sender.send(push(device("ff"))), Delivered)
            assert [each["connection"] for each in there.asked(2)] == [1, 2]
            await sender.close()

    @asynchronous
    async def test_one_that_never_answers_is_given_up_and_the_others_are_not(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            monkeypatch.setattr(sender, "limits", Apns.limits.__class__(timeout=1.0))
            assert isinstance(await sender.send(push(device("fe"))), Delivered)
            hanging = asyncio.create_task(sender.send(push(device("0d"))))
            others = [sender.send(push(device("ff", number))) for number in range(50)]
            assert all(isinstance(each, Delivered) for each in await asyncio.gather(*others))
            assert await hanging == Retry("no answer within 1 s")
            assert isinstance(await sender.send(push(device("ff", 99))), Delivered)
            assert {each["connection"] for each in there.asked(53)} == {1}
            await sender.close()

    @asynchronous
    async def test_one_stream_until_a_token_was_good_and_never_more_than_allowed(
        self, files: Files
    ) -> None:
        async with apple(files, "5") as there:
            sender = made(files, there.url)
            pushes = [sender.send(push(device("23", number))) for number in range(40)]
            assert all(isinstance(each, Delivered) for each in await asyncio.gather(*pushes))
            most = [each["most"] for each in there.asked(40)]
            assert most[0] == 1
            assert max(most) == 5
            await sender.close()

    @asynchronous
    async def test_a_stream_limit_of_one(self, files: Files) -> None:
        async with apple(files, "1") as there:
            sender = made(files, there.url)
            pushes = [sender.send(push(device("ff", number))) for number in range(20)]
            assert all(isinstance(each, Delivered) for each in await asyncio.gather(*pushes))
            assert {each["most"] for each in there.asked(20)} == {1}
            await sender.close()

    @asynchronous
    async def test_what_goaway_left_out_is_sent_again(self, files: Files) -> None:
        """The streams before it are answered on the old connection, the others on a new one."""
        async with apple(files) as there:
            sender = made(files, there.url)
            assert isinstance(await sender.send(push(device("fe"))), Delivered)
            kinds = [*["23"] * 10, "20", *["23"] * 10]
            pushes = [sender.send(push(device(kind, n))) for n, kind in enumerate(kinds)]
            outcomes = await asyncio.gather(*pushes)
            assert all(isinstance(each, Delivered) for each in outcomes), [
                each for each in outcomes if not isinstance(each, Delivered)
            ]
            assert isinstance(await sender.send(push(device("fd"))), Delivered)
            there.asked(1)
            asked = Counter(each["device"] for each in there.asked(22))
            assert asked[device("20", 10)] == 2
            assert all(asked[device("23", number)] == 1 for number in range(10))
            await sender.close()

    @asynchronous
    async def test_answers_that_come_after_goaway_count(self, files: Files) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            assert isinstance(await sender.send(push(device("21"))), Delivered)
            assert isinstance(await sender.send(push(device("ff"))), Delivered)
            assert [each["connection"] for each in there.asked(2)] == [1, 2]
            await sender.close()

    @asynchronous
    async def test_a_refused_stream_is_sent_again(self, files: Files) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            assert isinstance(await sender.send(push(device("22"))), Delivered)
            assert len(there.asked(2)) == 2
            await sender.close()

    @asynchronous
    async def test_several_connections_share_the_work(self, files: Files) -> None:
        async with apple(files, "5") as there:
            sender = made(files, there.url, apns_connections=3)
            pushes = [sender.send(push(device("23", number))) for number in range(60)]
            assert all(isinstance(each, Delivered) for each in await asyncio.gather(*pushes))
            assert {each["connection"] for each in there.asked(60)} == {1, 2, 3}
            await sender.close()

    @asynchronous
    async def test_a_silent_connection_is_found_out(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that does not even answer a ping: it is stopped."""
        monkeypatch.setattr(http2, "PING_EVERY", 0.1)
        async with apple(files) as there:
            sender = made(files, there.url)
            assert isinstance(await sender.send(push(device("ff"))), Delivered)
            there._running.process.send_signal(19)  # SIGSTOP
            outcome = await sender.send(push(device("ff", 1)))
            assert outcome == Retry("nothing was heard for 0.1 s")
            there._running.process.send_signal(18)  # SIGCONT
            assert sender._pool is not None
            await eventually(lambda: sender._pool is not None and not sender._pool._connections)
            await sender.close()

    @asynchronous
    async def test_the_longest_payload_fits(self, files: Files) -> None:
        async with apple(files) as there:
            sender = made(files, there.url)
            outcome = await sender.send(push(device("ff"), body="ü" * 4000))
            assert isinstance(outcome, Delivered)
            assert there.asked()[0]["payload"]["aps"]["alert"]["body"].endswith("ü…")
            await sender.close()


@asynchronous
async def test_a_server_that_is_not_there(files: Files) -> None:
    sender = made(files, "https://localhost:1")
    outcome = await sender.send(push(device("ff")))
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith("cannot connect: ")
    await sender.close()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (
            b"220 mail\r\n",
            "cannot connect: none within 0.2 s",
        ),  # a very long frame, for all we know
        (b"HTTP/1.1 400 No\r\n\r\n" + bytes(5_000_000), "not HTTP/2: "),
        (bytes.fromhex("000000 04 00 00000001"), "not HTTP/2: "),  # settings on a stream
        (b"", "cannot connect: none within 0.2 s"),
        (None, "the connection was lost: "),
    ],
)
@asynchronous
async def test_a_server_that_speaks_something_else(
    files: Files, monkeypatch: pytest.MonkeyPatch, says: bytes | None, error: str
) -> None:
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 0.2)
    accepted = []

    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        writer.close() if says is None else writer.write(says)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sender = made(files, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    outcome = await sender.send(push(device("ff")))
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith(error)
    assert len(accepted) == 1
    await sender.close()
    for writer in accepted:
        writer.close()
    server.close()


@pytest.mark.skipif(shutil.which("nghttpd") is None, reason="there is no nghttpd")
@asynchronous
async def test_pushes_to_nghttpd_arrive(files: Files, tmp_path: Path) -> None:
    """A server in C; it answers 200 where there is a file."""
    folder = tmp_path / "3" / "device"
    folder.mkdir(parents=True)
    (folder / device("ff")).write_text("")
    port = free_port()
    with program("nghttpd", "-d", str(tmp_path), "--no-tls", "-a", "127.0.0.1", str(port)):
        sender = made(files, f"http://127.0.0.1:{port}", apns_connections=2)

        async def is_there() -> bool:
            return isinstance(await sender.send(push(device("ff"))), Delivered)

        deadline = time.monotonic() + 20
        while not await is_there():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        outcomes = await asyncio.gather(*[sender.send(push(device("ff"))) for _ in range(2000)])
        assert outcomes == [Delivered()] * 2000
        assert await sender.send(push(device("fe"))) == Failed("HTTP 404")
        await sender.close()


def free_port() -> int:
    """nghttpd does not say which port it got."""

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_provider_token_lives_between_20_and_60_minutes(files: Files) -> None:
    now = [1_700_000_000.0]
    given = {"apns_key": files.key, "apns_key_id": "K", "apns_team": "T"}
    token = ProviderToken(settings(**given), lambda: now[0])
    first = token.get()
    assert jwt.get_unverified_header(first) == {"alg": "ES256", "kid": "K", "typ": "JWT"}
    claims = jwt.decode(first, options={"verify_signature": False})
    assert claims == {"iss": "T", "iat": 1_700_000_000}
    assert not token.renew(first)  # refused, and too young to be replaced
    now[0] += YOUNGEST
    assert token.get() == first
    assert token.renew(first)
    second = token.get()
    assert second != first
    assert token.renew(first)  # somebody else has replaced it
    assert token.get() == second
    now[0] += OLDEST
    assert token.get() != second


def test_what_is_a_token(files: Files) -> None:
    sender = made(files, "https://localhost:1")
    assert sender.check("AB" * 32) == "ab" * 32
    for wrong in ("", "ab", "g" * 64, "ab" * 101, "a" * 65, "../" + "ab" * 32, "ab" * 32 + "\n\n1"):
        with pytest.raises(ValueError, match="not a device token of Apple"):
            sender.check(wrong)


def test_a_payload_is_cut_to_what_apple_takes() -> None:
    assert 4_090 <= len(payload_of(push(body="ü" * 4000))) <= 4_096
    with pytest.raises(ValueError, match="there is room for 4096"):
        payload_of(push(data={"x": "y" * 5000}))
    only_title = json.loads(payload_of(push(body="", data={}, url="", icon="")))
    assert only_title == {"aps": {"alert": {"title": "Hello"}, "sound": "default"}, "id": "n1"}


def test_a_wrong_key_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HOCKET_APNS_KEY: "):
        read_key(str(tmp_path / "nothing"))
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError, match=r"is not a \.p8 key"):
        read_key(str(tmp_path / "x"))
    with pytest.raises(UsageError, match="it is no key of P-256"):
        read_key(p8(tmp_path, SECP384R1()))
