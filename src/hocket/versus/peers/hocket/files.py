"""Files: one comes in and goes to disk, one comes from disk and goes out, both as streams.

A route of Hocket's own has its whole body; one that streams is mounted.
"""

import sys
import tempfile

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route

from hocket import App

path = sys.argv[2] if len(sys.argv) > 2 else ""


async def upload(request: Request) -> PlainTextResponse:
    with tempfile.TemporaryFile() as file:
        async for chunk in request.stream():
            file.write(chunk)
        return PlainTextResponse(f"{file.tell()} bytes")


async def download(request: Request) -> FileResponse:
    return FileResponse(path)


app = App()
app.mount("/", Starlette(routes=[Route("/upload", upload, methods=["POST"]),
                                 Route("/download", download)]))  # fmt: skip

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
