"""HTTP where two readers could understand it differently, or where an answer breaks off."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hocket import App, ConnectError, Socket
from hocket.serve.server import make_app
from hocket.settings import Settings
from hocket.transport.linger import Departing
from tests.support import (
    Gone,
    PollingClient,
    Wire,
    ask,
    asynchronous,
    eventually,
    head,
    serving,
    turns,
)

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade")


def app_with_uploads(bodies: list[bytes]) -> App:
    """`POST /upload` keeps what comes; `GET /admin` must not be reached from within a body."""
    app = App()

    @app.post("/upload")
    async def upload(request: Any) -> str:
        bodies.append(await request.body())
        return "kept"

    @app.get("/admin")
    def admin() -> str:
        bodies.append(b"the handler of /admin ran")
        return "secret"

    return app


@asynchronous
async def test_who_speaks_tls_is_told_so_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """And the log once a second, whatever clients do."""
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    async with serving(App()) as site:
        site.worker.http._told_tls._clock = lambda: 1.0
        for _ in range(2):
            async with await Wire.to(site) as wire:
                await wire.send(hello.read() if hello.pending else b"\x16")
                answer = await wire.answer()
                assert (answer.status, answer.body) == (400, b"this port is http, not https\n")
                assert await wire.is_closed()
    assert caplog.messages == ["a client speaks TLS: this port is http, not https"]


@pytest.mark.parametrize("at_once", [True, False], ids=["one write", "two writes"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
@asynchronous
async def test_an_upgrade_that_is_not_taken_up_does_not_turn_its_body_into_a_request(
    chunked: bool, at_once: bool
) -> None:
    """A proxy that forwards Upgrade still counts the body as the body (RFC 9110 section 7.8)."""
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        inner = head(site.host, "/admin")
        field = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(inner)}"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if chunked else inner
        start = head(site.host, "/upload", "POST", *UPGRADE, field)
        if at_once:
            await wire.send(start + body)
        else:
            await wire.send(start)
            await eventually(lambda: site.open_files == 1)
            await ask(site, "GET", "/elsewhere")  # by now the server has read the head
            await wire.send(body)
        answer = await wire.answer()
        wire.end_sending()
        await wire.rest()
        assert b"the handler of /admin ran" not in bodies
        assert (answer.status, bodies) == (200, [inner]) or answer.status >= 400


@asynchronous
async def test_an_upgrade_that_is_not_taken_up_is_a_request_like_any_other() -> None:
    async with serving(app_with_uploads([])) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/admin", "GET", *UPGRADE) + head(site.host, "/admin"))
        assert (await wire.answer()).body == b"secret"
        assert (await wire.answer()).body == b"secret", "the one behind it is not lost"


@asynchronous
async def test_an_upgrade_that_is_not_taken_up_may_ask_for_the_end_of_the_connection() -> None:
    async with serving(app_with_uploads([])) as site, await Wire.to(site) as wire:
        fields = ["Upgrade: websocket", "Connection: Upgrade, close"]
        assert (await wire.request("GET", "/admin", *fields)).body == b"secret"
        assert await wire.is_closed()


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: +4"],
        ["Content-Length: 0x4"],
        ["Content-Length: 4, 4"],
        ["Content-Length: -1"],
        ["Content-Length:"],
        ["Content-Length: 99999999999999999999"],
        ["Content-Length : 4"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding:\x0bchunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["X: a\rb"],
        ["X: a\x00b"],
        ["Host: other"],
    ],
)
@asynchronous
async def test_a_length_that_two_readers_could_understand_differently(fields: list[str]) -> None:
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/upload", "POST", *fields) + b"abcd")
        answer = await wire.answer()
        assert answer.status == 400
        assert answer["connection"] == "close"
        assert await wire.is_closed()
        assert bodies == []


@asynchronous
async def test_lines_that_end_in_bare_line_feeds_are_no_request() -> None:
    async with (
        serving(app_with_uploads([]), request_timeout=0.1) as site,
        await Wire.to(site) as wire,
    ):
        await wire.send(b"GET /admin HTTP/1.1\nHost: a\n\n")
        assert (await wire.answer()).status in (400, 408)
        assert await wire.is_closed()


@asynchronous
async def test_a_request_byte_by_byte() -> None:
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        request = head(site.host, "/upload", "POST", "Content-Length: 3") + b"abc"
        for at in range(len(request)):
            await wire.send(request[at : at + 1])
        assert (await wire.answer()).body == b"kept"
        assert bodies == [b"abc"]


@pytest.mark.parametrize("piece", [1, 1_000])
@asynchronous
async def test_a_body_may_be_followed_by_a_line_of_its_own(piece: int) -> None:
    """RFC 9112 section 2.2: one empty line before a request is nothing."""
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        said = head(site.host, "/upload", "POST", "Content-Length: 3") + b"abc\r\n"
        said += head(site.host, "/admin")
        for at in range(0, len(said), piece):
            await wire.send(said[at : at + piece])
        assert [(await wire.answer()).body for _ in range(2)] == [b"kept", b"secret"]
        assert bodies == [b"abc", b"the handler of /admin ran"]


@asynchronous
async def test_errors_have_a_date_and_say_what_is_too_long() -> None:
    async with serving(app_with_uploads([])) as site:
        assert (await ask(site, "GET", "/no"))["date"].endswith(" GMT")
        long = "a" * 20_000
        target = await ask(site, "GET", f"/{long}")
        assert (target.status, target["date"][-3:]) == (414, "GMT")
        assert (await ask(site, "GET", "/", f"A: {long}")).status == 431


@asynchronous
async def test_answers_to_clients_have_a_date() -> None:
    """RFC 9110 section 6.6.1."""
    app = App(origins=["https://app.example"])

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        if "refuse" in auth:
            raise ConnectError("no")
        socket.join("all")

    path = "/socket.io/?transport=polling&EIO"
    async with serving(app) as site, await Wire.to(site) as wire:
        client = await PollingClient.opened(site)
        answers = {
            "opened": await ask(site, "GET", f"{path}=4"),
            "refused": await ask(site, "GET", f"{path}=3"),
            "may it": await ask(site, "OPTIONS", f"{path}=4", "Origin: https://app.example"),
            "post": await client.post("40"),
            "poll": await client.poll(),
            "bad post": await client.post("bad"),
            "bad upgrade": await wire.upgrade(f"{path}=4"),
            "foreign listener": await ask(site, "GET", "/events", "Origin: https://bad.example"),
            "refused listener": await ask(site, "GET", "/events?refuse=1"),
        }
        leaver = await PollingClient.opened(site)
        await leaver.post("40")
        site.app.to("all").disconnect(close=True)
        answers["last poll"] = await leaver.poll()
        answers["very last poll"] = await leaver.poll()
        assert answers["very last poll"].body == b"1"
        statuses = [answer.status for answer in answers.values()]
        assert statuses == [200, 400, 204, 200, 200, 400, 400, 403, 403, 200, 200]
        for name, answer in answers.items():
            assert answer["date"].endswith(" GMT"), name
        async with await Wire.to(site) as listener:
            await listener.send(head(site.host, "/events"))
            assert b"\r\ndate: " in await listener.up_to(b"\r\n\r\n")


@asynchronous
async def test_http_1_0_may_keep_the_connection() -> None:
    async with serving(app_with_uploads([])) as site, await Wire.to(site) as wire:
        for _ in range(2):
            answer = await wire.request("GET", "/admin", "Connection: keep-alive", version="1.0")
            assert (answer.body, answer["connection"]) == (b"secret", "keep-alive")
            answer = await wire.request("GET", "/no", "Connection: keep-alive", version="1.0")
            assert (answer.status, answer["connection"]) == (404, "keep-alive")
        assert (await wire.request("GET", "/admin", version="1.0")).body == b"secret"
        assert await wire.is_closed()


@asynchronous
async def test_a_method_that_no_route_has() -> None:
    app = App()

    @app.get("/users/{name}")
    @app.put("/users/{name}")
    def user(request: Any) -> str:
        return str(request.path_params["name"])

    async with serving(app) as site, await Wire.to(site) as wire:
        for method in ("POST", "PATCH", "OPTIONS", "DELETE"):
            refused = await wire.request(method, "/users/ada")
            assert refused.status == 405
            assert set(refused["allow"].split(", ")) == {"GET", "HEAD", "PUT"}
        assert (await wire.request("GET", "/users/a%20da?x=1")).body == b"a da"


@asynchronous
async def test_a_page_that_the_client_has_is_not_sent_again() -> None:
    async with serving(make_app(Settings())) as site, await Wire.to(site) as wire:
        whole = await wire.request("GET", "/")
        tag = whole["etag"]
        assert whole.status == 200
        assert b"<html" in whole.body
        for known in (tag, f'"else", {tag}', f"W/{tag}", "*"):
            again = await wire.request("GET", "/", f"If-None-Match: {known}")
            assert (again.status, again.body, again["etag"]) == (304, b"", tag)
        other = await wire.request("GET", "/", 'If-None-Match: "else"')
        assert (other.status, other.body) == (200, whole.body)
        only_head = await wire.request("HEAD", "/")
        assert (only_head.body, only_head["content-length"]) == (b"", whole["content-length"])


# Answers that break off


@pytest.mark.parametrize("piece", [100, 1_000_000], ids=["little", "much"])
@asynchronous
async def test_who_leaves_in_the_middle_of_an_answer_ends_it_and_is_no_error(piece: int) -> None:
    """Whether next to nothing waited to be sent, or more than may (then the answer was waiting for
    room, which never comes).
    """
    from starlette.responses import StreamingResponse

    app = App()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(piece)
            await asyncio.sleep(0)

    app.get("/endless")(lambda: StreamingResponse(endless()))
    async with serving(app, max_outbox=100_000) as site:
        async with await Wire.to(site) as wire:
            await wire.send(head(site.host, "/endless"))
            await wire.up_to(b"\r\n\r\n")
            await turns(50)
        await eventually(lambda: site.open_files == 0)
        await eventually(lambda: len(asyncio.all_tasks()) == 1)  # this test's own
        assert site.alarms.messages == []


@asynchronous
async def test_an_answer_that_fails_before_it_began_is_a_500(tmp_path: Path) -> None:
    from starlette.responses import FileResponse

    app = App()
    app.get("/file")(lambda: FileResponse(tmp_path / "not there"))
    async with serving(app) as site, await Wire.to(site) as wire:
        answer = await wire.request("GET", "/file")
        assert (answer.status, answer.body) == (500, b"internal error\n")
        assert len(site.alarms.messages) == 1


@asynchronous
async def test_an_answer_that_fails_half_way_cannot_be_taken_for_a_whole_one() -> None:
    from starlette.responses import StreamingResponse

    app = App()

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the database is gone")

    app.get("/broken")(lambda: StreamingResponse(broken()))
    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(site.host, "/broken"))
        with pytest.raises(Gone):
            await wire.answer()
        assert len(site.alarms.messages) == 1
        assert (await ask(site, "GET", "/nothing")).status == 404


@asynchronous
async def test_a_stream_for_http_1_0_ends_with_the_connection() -> None:
    from starlette.responses import StreamingResponse

    app = App()

    async def parts() -> AsyncIterator[str]:
        yield "one"
        yield "two"

    app.get("/stream")(lambda: StreamingResponse(parts()))
    async with serving(app) as site, await Wire.to(site) as wire:
        answer = await wire.request("GET", "/stream", "Connection: keep-alive", version="1.0")
        assert (answer["transfer-encoding"], answer.body) == ("", b"onetwo")


@pytest.mark.parametrize(
    "trailers",
    [
        b"X: y\n\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
        b"X: y\rz\r\n\r\n",
        b"no field\r\n\r\n",
        b" X: y\r\n\r\n",
    ],
)
@asynchronous
async def test_trailers_that_two_readers_could_understand_differently(trailers: bytes) -> None:
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        start = head(site.host, "/upload", "POST", "Transfer-Encoding: chunked")
        await wire.send(start + b"1\r\nx\r\n0\r\n" + trailers)
        assert (await wire.answer()).status == 400
        assert await wire.is_closed()
        assert bodies == []


@pytest.mark.parametrize("port", ["1" * 6, "65536", "1" * 5000])
@asynchronous
async def test_a_port_that_is_none(port: str) -> None:
    """Python reads no number of 5,000 digits; a mounted application would be told of one."""
    app = App()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was asked")

    app.mount("/app", asgi)
    async with serving(app) as site, await Wire.to(site) as wire:
        await wire.send(head(f"a:{port}", "/app"))
        assert (await wire.answer()).status == 400
        assert site.alarms.messages == []


@asynchronous
async def test_a_path_with_a_number_that_is_none() -> None:
    """Python reads no number of 5,000 digits."""
    app = App()

    @app.get("/users/{id:int}")
    def user(request: Any) -> str:
        return f"user {request.path_params['id']}"

    async with serving(app) as site, await Wire.to(site) as wire:
        for _ in range(2):
            assert (await wire.request("GET", "/users/" + "9" * 5_000)).status == 404
        assert (await wire.request("GET", "/users/7")).body == b"user 7"
        assert not app.routes.has("GET", "/users/" + "9" * 5_000)
        assert site.alarms.messages == []


@asynchronous
async def test_many_requests_in_one_packet_hold_nobody_up() -> None:
    app, order = App(), []

    @app.get("/one")
    def one() -> str:
        order.append("one")
        return "one"

    @app.get("/other")
    def other() -> str:
        order.append("other")
        return "other"

    async with serving(app) as site, await Wire.to(site) as many, await Wire.to(site) as single:
        await single.request("GET", "/other")
        await many.send(head(site.host, "/one") * 1_000)
        while "one" not in order:
            await turns(1)
        await single.send(head(site.host, "/other"))
        for _ in range(1_000):
            assert (await many.answer()).body == b"one"
        assert (await single.answer()).body == b"other"
        assert order.index("other", 1) < 500
        assert (await many.request("GET", "/one")).body == b"one"


@asynchronous
async def test_http_1_0_expects_nothing() -> None:
    """RFC 9110 section 10.1.1."""
    bodies: list[bytes] = []
    async with serving(app_with_uploads(bodies)) as site, await Wire.to(site) as wire:
        start = b"POST /upload HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        await wire.send(start)
        await turns(20)
        await wire.send(b"ab")
        assert (await wire.answer()).body == b"kept"


@asynchronous
async def test_a_query_that_is_too_long_for_a_listener_is_said_at_once() -> None:
    async with serving(App()) as site:
        answer = await ask(site, "GET", "/events?" + "&".join(f"a{n}=1" for n in range(101)))
        assert answer.status == 400
        await eventually(lambda: site.sessions == site.open_files == 0)


@asynchronous
async def test_what_a_slow_client_was_sent_before_the_end_arrives() -> None:
    """As long as it takes some of it."""
    size = 3_000_000

    async def talk(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(size)})

    app = App()
    app.mount("/ws", talk)  # type: ignore[arg-type]
    async with serving(app, max_outbox=2_000_000) as site, await Wire.to(site, 4096) as wire:
        await wire.upgrade("/ws")
        await eventually(lambda: isinstance(site.worker.reactor.endpoints()[0], Departing))
        for _ in range(8):  # longer than a client has to read an answer's end
            await wire.exactly(100_000)
            await asyncio.sleep(0.4)
        rest = await wire.rest()
        assert len(rest) == 10 + size + 4 - 8 * 100_000  # with the frame's head, and the close


@asynchronous
async def test_who_says_no_more_hears_what_it_asked_for() -> None:
    """As `nc -N` does, and relays that pass an end on: pages, requests in a row, long answers."""
    app = App()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.05)
        return "slow"

    @app.get("/large")
    def large() -> bytes:
        return bytes(5_000_000)

    async with serving(app) as site:
        for targets in (["/slow"], ["/slow", "/large", "/slow"], ["/large", "/slow"]):
            wire = await Wire.to(site, receive_buffer=4096)
            await wire.send(b"".join(head(site.host, target) for target in targets))
            wire.end_sending()
            for target in targets:
                size = {"/slow": 4, "/large": 5_000_000}[target]
                assert len((await wire.answer()).body) == size
            assert await wire.is_closed()
            wire.close()
        await eventually(lambda: site.open_files == 0)
        half = await Wire.to(site)
        await half.send(head(site.host, "/slow")[:-2])
        half.end_sending()
        assert await half.is_closed()
        await eventually(lambda: site.open_files == 0)
        assert site.alarms.messages == []


@asynchronous
async def test_who_has_gone_is_not_waited_with_for_ever() -> None:
    app, never = App(), asyncio.Event()

    @app.get("/never")
    async def waits() -> str:
        await never.wait()
        return "at last"

    async with serving(app, request_timeout=0.4) as site:
        wire = await Wire.to(site)
        await wire.send(head(site.host, "/never"))
        await eventually(lambda: any(each.busy for each in site.worker.http.streams()))
        wire.close()
        await eventually(lambda: site.open_files == 0)
        never.set()


@asynchronous
async def test_who_has_gone_takes_along_what_waited() -> None:
    """The wheel knows it for up to `request_timeout` more."""
    app = App()

    @app.get("/large")
    def large() -> bytes:
        return bytes(5_000_000)

    async with serving(app, request_timeout=4.0) as site:
        wires = [await Wire.to(site, receive_buffer=4096) for _ in range(2)]
        await wires[0].send(head(site.host, "/large"))
        await wires[1].send(head(site.host, "/large", "POST", "Content-Length: 900000") + b"x" * 9)
        await eventually(lambda: len(site.worker.http.streams()) == 2)
        streams = site.worker.http.streams()
        await eventually(lambda: any(each.backlog for each in streams))
        await eventually(lambda: any(each.body for each in streams))
        for wire in wires:
            wire.reset()
        await eventually(lambda: site.open_files == 0)
        assert [(each.backlog, each.body, each.request) for each in streams] == [(None,) * 3] * 2
