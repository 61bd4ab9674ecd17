"""For test_django.py: a Django project in one module, its settings included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

from hocket import App, Socket

settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # it adds slashes, and Content-Length
)

app = App()
happened: list[str] = []
asked = asyncio.Event()


@app.on("connect")
def connect(socket: Socket, auth: object) -> None:
    socket.join("kitchen")


def where(request: HttpRequest, name: str = "") -> JsonResponse:
    meta = request.META
    return JsonResponse({
        "path": request.path,
        "prefix": meta["SCRIPT_NAME"],
        "rest": meta["PATH_INFO"],
        "name": name,
        "query": request.GET.getlist("q"),
        "address": meta["REMOTE_ADDR"],
        "absolute": request.build_absolute_uri(reverse("article", args=["a b"])),
    })  # fmt: skip


async def where_async(request: HttpRequest) -> JsonResponse:
    return where(request)


def length(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def upload(request: HttpRequest) -> HttpResponse:
    part = request.FILES["part"]
    return HttpResponse(f"{part.name} {part.size} {request.POST['title']}")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def content() -> AsyncIterator[bytes]:
        yield b"first "
        await asked.wait()
        yield b"second"

    return StreamingHttpResponse(content())


def stream_sync(request: HttpRequest) -> StreamingHttpResponse:
    def content() -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(100_000)

    return StreamingHttpResponse(content())


async def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    async def content() -> AsyncIterator[bytes]:
        yield b"first "
        raise RuntimeError("on purpose")

    return StreamingHttpResponse(content())


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(request.COOKIES.get("a", "none"))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


def say(request: HttpRequest, text: str) -> HttpResponse:
    app.to("kitchen").emit("said", text)
    return HttpResponse(status=204)


async def say_async(request: HttpRequest, text: str) -> HttpResponse:
    return say(request, text)


async def wait(request: HttpRequest) -> HttpResponse:
    happened.append("began")
    try:
        await asyncio.Event().wait()
    finally:
        happened.append("ended")
    return HttpResponse()


urlpatterns = [
    path("where/", where),
    path("where-async/", where_async),
    path("articles/<str:name>/", where, name="article"),
    path("length", length),
    path("upload", upload),
    path("stream", stream),
    path("stream-sync", stream_sync),
    path("breaks-off", breaks_off),
    path("fails", fails),
    path("cookies", cookies),
    path("say/<str:text>", say),
    path("say-async/<str:text>", say_async),
    path("wait", wait),
]
