"""The chat page and the health checks, over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from typing import Final

from hocket.app import App
from hocket.transport.routes import Answer

TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
# A service worker serves the pages that lie beside it or below.
PLACES: Final = {"index.html": "/", "sw.js": "/sw.js"}
SECURE: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'; "
        b"base-uri 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def add_pages(app: App) -> None:
    """The page at `/`, its parts under `/static/`: read once, kept in memory."""
    for item in files("hocket.serve").joinpath("static").iterdir():
        kind = TYPES.get("." + item.name.rpartition(".")[2])
        if kind is not None:
            content = item.read_bytes()
            tag = b'"%b"' % sha256(content).hexdigest()[:16].encode()
            fields = ((b"content-type", kind), (b"etag", tag), *SECURE)
            path = PLACES.get(item.name, f"/static/{item.name}")
            app.get(path)(_constant(Answer(200, fields, content)))


def _constant(answer: Answer) -> Callable[[], Answer]:
    return lambda: answer


def add_health(app: App, ready: Callable[[], bool]) -> None:
    """`/healthz`: the process answers. `/readyz`: it also takes new clients."""

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> Answer:
        if ready():
            return Answer(200, ((b"content-type", b"application/json"),), b'{"status":"ok"}')
        return Answer(503, ((b"content-type", b"application/json"),), b'{"status":"stopping"}')
