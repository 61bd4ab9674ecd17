"""The public API over real connections, on each transport, with python-socketio's client."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import socketio

from hocket import (
    NO_ACK,
    App,
    CallTimeout,
    ConnectError,
    Disconnected,
    Handshake,
    Socket,
)
from hocket.errors import UsageError
from tests.integration.programs import ROOT
from tests.support import Site, WebSocketClient, Wire, ask, asynchronous, eventually, serving

TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]]
each_transport = pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)


class Client(socketio.AsyncClient):  # type: ignore[misc]
    """A client that keeps what it hears."""

    def __init__(self) -> None:
        super().__init__(reconnection=False)
        self.heard: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def hear(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.heard.get(), 10)


@asynccontextmanager
async def client(
    site: Site, transports: list[str] | None = None, namespace: str = "/", **how: Any
) -> AsyncIterator[Client]:
    one = Client()

    def keep(event: str, *args: Any) -> None:
        one.heard.put_nowait((event, *args))

    one.on("*", keep, namespace=namespace)
    how = {"transports": transports or ["websocket"], "namespaces": [namespace], **how}
    await one.connect(site.url, **how)
    try:
        yield one
    finally:
        await one.disconnect()


@each_transport
@asynchronous
async def test_events_acks_calls_and_binary(transports: list[str]) -> None:
    app = App()

    @app.on("connect")
    async def connect(socket: Socket, auth: dict[str, Any]) -> None:
        socket.user = auth["user"]
        socket.data["seen"] = 1
        socket.emit("welcome", socket.user, b"\x00\xff")

    @app.on("sum")
    def total(socket: Socket, *numbers: int) -> int:
        return sum(numbers)

    @app.on("pair")
    async def pair(socket: Socket) -> tuple[int, dict[str, bytes]]:
        return 1, {"deep": b"\x01"}

    @app.on("nothing")
    def nothing(socket: Socket) -> None:
        """No arguments in the ack."""

    @app.on("ask")
    async def ask_back(socket: Socket, question: Any) -> Any:
        return await socket.call("question", question)

    @app.on("*")
    def other(socket: Socket, event: str, *args: Any) -> list[Any]:
        return [event, *args, socket.transport, socket.data["seen"]]

    async with (
        serving(app) as site,
        client(site, transports, auth={"user": "ada"}) as ada,
    ):
        assert await ada.hear() == ("welcome", "ada", b"\x00\xff")
        assert await ada.call("sum", (1, 2, 3)) == 6
        assert await ada.call("pair") == (1, {"deep": b"\x01"})
        assert await ada.call("nothing") in ((), None, [])
        ada.on("question", lambda value: {"answer": value})
        assert await ada.call("ask", b"\x02") == {"answer": b"\x02"}
        assert await ada.call("else", 1) == ["else", 1, transports[-1], 1]


@each_transport
@asynchronous
async def test_rooms_and_targets(transports: list[str]) -> None:
    app = App()

    @app.on("join")
    def join(socket: Socket, *rooms: str) -> list[str]:
        socket.join(*rooms)
        return sorted(socket.rooms - {socket.id})

    @app.on("leave")
    def leave(socket: Socket, *rooms: str) -> list[str]:
        socket.leave(*rooms)
        return sorted(socket.rooms - {socket.id})

    @app.on("tell")
    def tell(socket: Socket, how: str, *args: Any) -> str:
        sends: dict[str, Callable[..., None]] = {
            "all": app.emit,
            "a": app.to("a").emit,
            "a or b": app.to("a", "b").emit,
            "a, not b": app.to("a").except_("b").emit,
            "not a": app.except_("a").emit,
            "others in a": socket.to("a").emit,
            "others": socket.broadcast.emit,
            "local": app.local.emit,
            "self": socket.volatile.emit,
            "id": app.to(socket.id).emit,
            "compressed": app.compress(True).emit,
        }
        sends[how]("said", how, *args)
        return "done"

    async with (
        serving(app) as site,
        client(site, transports) as ada,
        client(site, transports) as bob,
        client(site, transports) as eve,
    ):
        people = {"ada": ada, "bob": bob, "eve": eve}
        assert await ada.call("join", ("a", "b")) == ["a", "b"]
        assert await bob.call("join", "a") == ["a"]
        for how, reached in {
            "all": ["ada", "bob", "eve"],
            "a": ["ada", "bob"],
            "a or b": ["ada", "bob"],
            "a, not b": ["bob"],
            "not a": ["eve"],
            "others in a": ["bob"],
            "others": ["bob", "eve"],
            "local": ["ada", "bob", "eve"],
            "id": ["ada"],
            "compressed": ["ada", "bob", "eve"],
        }.items():
            assert await ada.call("tell", how) == "done"
            app.emit("end")
            for name, person in people.items():
                heard = [await person.hear()]
                while heard[-1] != ("end",):
                    heard.append(await person.hear())
                assert heard[:-1] == [("said", how)] * (name in reached), (name, how)
        assert await ada.call("leave", "b") == ["a"]


@asynchronous
async def test_targets_from_afar() -> None:
    app = App()
    ends: list[str] = []

    @app.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        ends.append(reason)

    async with serving(app) as site, client(site) as ada, client(site) as bob:
        patience = asyncio.Event()
        for person in (ada, bob):
            person.on("silence", patience.wait)
        ada.on("number", lambda: 7)
        bob.on("number", lambda: (1, 2))
        answers = await app.call("number", timeout=5)
        assert sorted(answers, key=str) == [(1, 2), 7]
        first, second = await app.sockets()
        app.to(first.id).join("x")
        assert [socket.id for socket in await app.to("x").sockets()] == [first.id]
        app.to("x").leave("x")
        assert await app.to("x").sockets() == []
        with pytest.raises(CallTimeout) as caught:
            await app.call("silence", timeout=0.05)
        assert caught.value.answers == []
        waiting = asyncio.ensure_future(second.call("silence", timeout=5))
        await asyncio.sleep(0)
        app.to(second.id).disconnect()
        with pytest.raises(Disconnected):
            await waiting
        assert ends == ["server namespace disconnect"]
        app.to(first.id).disconnect(close=True)
        await eventually(lambda: site.sessions == 1)
        assert ends == ["server namespace disconnect"] * 2
        patience.set()


@asynchronous
async def test_namespaces() -> None:
    app = App()
    admin = app.namespace("/admin")
    dynamic = app.namespace(re.compile(r"/room-\d+"))

    @admin.middleware
    async def only_admins(socket: Socket, auth: dict[str, Any]) -> None:
        if auth.get("key") != "let me in":
            raise ConnectError("no", {"why": "key"})

    @dynamic.on("who")
    def who(socket: Socket) -> str:
        return socket.namespace

    async with serving(app) as site:
        async with client(site, namespace="/admin", auth={"key": "let me in"}) as boss:
            admin.emit("hi", 1)
            assert await boss.hear() == ("hi", 1)
        async with client(site, namespace="/room-7") as guest:
            assert await guest.call("who", namespace="/room-7") == "/room-7"
            app.namespace("/room-7").emit("hi", 2)
            assert await guest.hear() == ("hi", 2)
        for namespace in ("/admin", "/room-x"):
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with client(site, namespace=namespace):
                    pass
        with pytest.raises(LookupError):
            dynamic.emit("hi")


@asynchronous
async def test_the_way_in() -> None:
    app = App()
    passed: list[str] = []

    @app.on_handshake
    async def handshake(handshake: Handshake) -> Any:
        passed.append("handshake")
        if handshake.query.get("bad") == "1":
            return False
        if handshake.query.get("bad") == "2":
            raise ConnectError("banned")
        return None

    @app.middleware
    def first(socket: Socket) -> None:
        passed.append("first")

    @app.middleware
    async def second(socket: Socket, auth: dict[str, Any]) -> None:
        passed.append("second")
        if auth.get("bad"):
            raise ValueError("secret detail")

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        passed.append("connect")

    async with serving(app) as site:
        async with client(site):
            assert passed == ["handshake", "first", "second", "connect"]
        target = "/socket.io/?EIO=4&transport={}&bad={}"
        for bad, message in (("1", "Forbidden"), ("2", "banned")):
            refused = await ask(site, "GET", target.format("polling", bad))
            assert (refused.status, refused.json) == (403, {"code": 4, "message": message})
            async with await Wire.to(site) as wire:
                assert (await wire.upgrade(target.format("websocket", bad))).status == 403
        one = Client()
        one.on("connect_error", lambda data: one.heard.put_nowait((data,)))
        with pytest.raises(socketio.exceptions.ConnectionError):
            await one.connect(site.url, auth={"bad": True}, transports=["websocket"])
        assert await one.hear() == ({"message": "internal error"},)


@asynchronous
async def test_the_handshake() -> None:
    app = App()
    seen: list[Handshake] = []

    @app.on("connect")
    def connect(socket: Socket, auth: dict[str, Any]) -> None:
        seen.append(socket.handshake)

    async with (
        serving(app) as site,
        client(site, headers={"X-Team": "blue"}, auth={"a": 1}) as _,
    ):
        handshake = seen[0]
        assert handshake.headers["x-team"] == handshake.headers["X-TEAM"] == "blue"
        assert handshake.query["EIO"] == "4"
        assert handshake.url.startswith("/socket.io/?")
        assert handshake.auth == {"a": 1}
        assert handshake.address == "127.0.0.1"
        assert not handshake.secure
        assert abs((datetime.now(UTC) - handshake.time).total_seconds()) < 60


@asynchronous
async def test_the_documented_reason_of_a_disconnect_by_the_server() -> None:
    app, reasons = App(), []
    app.on("leave")(lambda socket, close: socket.disconnect(close=close))
    app.on("disconnect")(lambda socket, reason: reasons.append(reason))
    async with serving(app) as site:
        for close in ("true", "false"):
            async with await WebSocketClient.joined(site) as client:
                await client.say(f'42["leave",{close}]')
                assert await client.text() == "41"
    page = (ROOT / "docs/reference/errors.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \*? \| `socket.disconnect\(.*\)`", page, re.MULTILINE)
    assert reasons == rows * 2


@asynchronous
async def test_errors_cost_nobody_the_connection() -> None:
    app = App()
    errors: list[tuple[str, str | None, str]] = []

    @app.on_error
    async def on_error(error: Exception, socket: Socket | None, event: str) -> None:
        errors.append((type(error).__name__, socket.namespace if socket else None, event))

    @app.on("sync")
    def sync(socket: Socket) -> None:
        raise KeyError("sync")

    @app.on("async")
    async def later(socket: Socket) -> None:
        raise OSError("async")

    @app.on("needs")
    def needs(socket: Socket, one: int, two: int = 2) -> int:
        return one + two

    @app.on("unencodable")
    def unencodable(socket: Socket) -> object:
        return object()

    @app.on("open")
    def leave_open(socket: Socket) -> object:
        return NO_ACK

    async with serving(app) as site, client(site) as ada:
        for event in ("sync", "async", "needs", "unencodable", "open"):
            with pytest.raises(socketio.exceptions.TimeoutError):
                await ada.call(event, timeout=0.1)
        assert await ada.call("needs", (1, 4, "extra")) == 5
        await eventually(lambda: len(errors) == 4)
        assert [name for name, _, _ in errors] == ["KeyError", "OSError", "TypeError", "TypeError"]
        assert {place for _, place, _ in errors} == {"/"}


@asynchronous
async def test_life_cycle_and_threads() -> None:
    app = App()
    steps: list[str] = []

    @app.on_startup
    async def begin() -> None:
        steps.append("startup")

    @app.on_shutdown
    def end() -> None:
        steps.append("shutdown")

    with pytest.raises(RuntimeError, match="not running"):
        app.emit("too early")
    async with serving(app) as site:
        assert steps == ["startup"]
        async with client(site) as ada:

            def produce() -> None:
                for at in range(50):
                    app.emit("n", at)

            thread = threading.Thread(target=produce)
            thread.start()
            assert [await ada.hear() for _ in range(50)] == [("n", at) for at in range(50)]
            thread.join()
    assert steps == ["startup", "shutdown"]


ELSEWHERE = "Origin: https://shop.example"
ASKS = (ELSEWHERE, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-one")


@asynchronous
async def test_pages_of_listed_origins_may_read_what_routes_answer() -> None:
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse

    app = App(origins=["https://shop.example"])
    shared = PlainTextResponse("one for all")
    own = {"Access-Control-Allow-Origin": "*"}
    app.get("/plain")(lambda: "text")
    app.put("/plain")(lambda: "put")
    app.get("/users/{id}")(lambda: "user")
    app.get("/shared")(lambda: shared)
    app.get("/own")(lambda: PlainTextResponse("own", headers=own))

    @app.get("/private")
    def private() -> str:
        raise HTTPException(401, "who are you?")

    @app.get("/ownly")
    def ownly() -> str:
        raise HTTPException(403, "no", headers=own)

    async with serving(app) as site, await Wire.to(site) as wire:
        for path in ("/plain", "/users/7", "/shared", "/private"):
            answer = await wire.request("GET", path, ELSEWHERE)
            assert answer["access-control-allow-origin"] == "https://shop.example", path
            assert answer["access-control-allow-credentials"] == "true"
            assert answer["vary"] == "origin"
            for other in ((), ("Origin: https://evil.example",)):
                answer = await wire.request("GET", path, *other)
                assert answer["access-control-allow-origin"] == "", (path, other)
                assert answer["vary"] == "origin"
        for method, path, status in (("GET", "/nothing", 404), ("POST", "/plain", 405)):
            answer = await wire.request(method, path, ELSEWHERE)
            assert answer.status == status
            assert answer["access-control-allow-origin"] == "https://shop.example"
            assert answer["vary"] == "origin"
            answer = await wire.request(method, path, "Origin: https://evil.example")
            assert (answer["access-control-allow-origin"], answer["vary"]) == ("", "origin")
        for path in ("/own", "/ownly"):  # which say it themselves, and once
            answer = await wire.request("GET", path, ELSEWHERE)
            assert answer["access-control-allow-origin"] == "*"
        asked = await wire.request("OPTIONS", "/plain", *ASKS)
        assert asked.status == 204
        assert asked["access-control-allow-origin"] == "https://shop.example"
        assert asked["access-control-allow-methods"] == "GET, PUT, HEAD"
        assert asked["access-control-allow-headers"] == "x-one"
        assert (await wire.request("OPTIONS", "/users/7", *ASKS)).status == 204
        evil = ("Origin: https://evil.example", *ASKS[1:])
        assert (await wire.request("OPTIONS", "/plain", *evil)).status == 405
        assert (await wire.request("OPTIONS", "/plain")).status == 405
        assert (await wire.request("OPTIONS", "/nothing", *ASKS)).status == 404
        large = await wire.request("PUT", "/plain", ELSEWHERE, body=bytes(1_000_001))
        assert large.status == 413
        assert large["access-control-allow-origin"] == "https://shop.example"


@asynchronous
async def test_a_route_is_asked_for_itself_also_in_front_of_a_mount() -> None:
    from starlette.applications import Starlette

    app = App(origins=["https://shop.example"])
    app.put("/plain")(lambda: "put")
    app.mount("/", Starlette())
    async with serving(app) as site, await Wire.to(site) as wire:
        asked = await wire.request("OPTIONS", "/plain", *ASKS)
        assert asked.status == 204
        assert asked["access-control-allow-methods"] == "PUT"
        for path, more in (("/other", ASKS), ("/plain", ())):
            assert (await wire.request("OPTIONS", path, *more)).status == 404


@asynchronous
async def test_routes_say_nothing_of_origins_where_none_is_named() -> None:
    app = App()
    app.get("/plain")(lambda: "text")
    async with serving(app) as site, await Wire.to(site) as wire:
        answer = await wire.request("GET", "/plain", f"Origin: {site.url}")
        assert (answer["access-control-allow-origin"], answer["vary"]) == ("", "")
        assert (await wire.request("OPTIONS", "/plain", *ASKS)).status == 405


@asynchronous
async def test_plain_http() -> None:
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, StreamingResponse

    app = App()
    app.get("/text")(lambda: "né")
    app.get("/bytes")(lambda: b"\x00")
    app.get("/json")(lambda: {"a": [1]})
    app.get("/none")(lambda: None)

    @app.get("/users/{id:int}")
    async def user(request: Any) -> dict[str, Any]:
        return {"id": request.path_params["id"], "q": request.query_params.get("q")}

    @app.post("/things")
    async def create(request: Any) -> JSONResponse:
        return JSONResponse(await request.json(), status_code=201, headers={"X-Made": "yes"})

    @app.put("/things")
    def replace(request: Any) -> str:
        return str(request.method)

    @app.delete("/things")
    def delete() -> None:
        """204."""

    @app.get("/stream")
    def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            for at in range(3):
                yield f"part {at}\n"

        return StreamingResponse(parts(), media_type="text/plain")

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret detail")

    @app.get("/private")
    def private() -> str:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Basic"})

    def cancelled() -> str:
        raise asyncio.CancelledError

    async def cancelled_now() -> str:
        return cancelled()

    async def cancelled_later() -> str:
        await asyncio.sleep(0)
        return cancelled()

    app.get("/cancelled/0")(cancelled)
    app.get("/cancelled/1")(cancelled_now)
    app.get("/cancelled/2")(cancelled_later)

    @app.get("/split")
    def split() -> str:
        raise HTTPException(401, headers={"X-Split": "a\r\nSet-Cookie: b"})

    async with serving(app) as site, await Wire.to(site) as wire:
        private_answer = await wire.request("GET", "/private")
        assert (private_answer.status, private_answer.body) == (401, b"who are you?\n")
        assert private_answer["www-authenticate"] == "Basic"
        for way in range(3):  # something that a route waits for was cancelled, not the route
            assert (await wire.request("GET", f"/cancelled/{way}")).status == 500, way
        split_answer = await wire.request("GET", "/split")
        assert (split_answer.status, split_answer["set-cookie"]) == (500, "")
        answer = await wire.request("GET", "/text")
        assert (answer.body, answer["content-type"]) == ("né".encode(), "text/plain; charset=utf-8")
        assert answer["date"]
        assert (await wire.request("HEAD", "/text"))["content-length"] == "3"
        assert (await wire.request("GET", "/bytes")).body == b"\x00"
        assert (await wire.request("GET", "/json")).json == {"a": [1]}
        assert (await wire.request("GET", "/none")).status == 204
        assert (await wire.request("GET", "/users/7?q=x")).json == {"id": 7, "q": "x"}
        assert (await wire.request("GET", "/users/x")).status == 404
        made = await wire.request("POST", "/things", body=b'{"a":1}')
        assert (made.status, made.json, made["x-made"]) == (201, {"a": 1}, "yes")
        assert (await wire.request("PUT", "/things")).body == b"PUT"
        assert (await wire.request("DELETE", "/things")).status == 204
        assert (await wire.request("GET", "/stream")).body == b"part 0\npart 1\npart 2\n"
        refused = await wire.request("GET", "/things")
        assert (refused.status, refused["allow"]) == (405, "POST, PUT, DELETE")
        refused = await wire.request("POST", "/users/7")
        assert (refused.status, refused["allow"]) == (405, "GET, HEAD")
        assert (await wire.request("GET", "/else")).status == 404
        failed = await wire.request("GET", "/broken")
        assert (failed.status, failed.body) == (500, b"internal error\n")
        assert (await wire.request("GET", "/text")).status == 200


def test_what_is_planned_is_refused_and_never_ignored() -> None:
    with pytest.raises(UsageError, match="is not available in this version"):
        App(recovery=60)
    App(workers=1)
