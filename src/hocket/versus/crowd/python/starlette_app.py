"""Starlette on uvicorn: a page at `/`.

python starlette_app.py PORT
"""

import sys

import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello from Starlette!")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/", hello)])
    serving.serve("starlette", app, int(sys.argv[1]))
