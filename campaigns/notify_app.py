"""The server of the campaign `notify-kill`: asked over plain HTTP, it notifies devices, which are
paths of a sink, whose address is in HOCKET_SINK.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hocket import App, Audience, Notification
from hocket.errors import HocketError
from hocket.providers.base import Delivered, Limits, Outcome, Push, Retry

if TYPE_CHECKING:
    import aiohttp

app = App()


class Sink:
    """A provider that posts to the sink."""

    name = "sink"
    limits = Limits(concurrency=100, timeout=20.0)
    _session: aiohttp.ClientSession | None = None

    def check(self, token: str) -> str:
        return token

    async def send(self, push: Push) -> Outcome:
        import aiohttp  # only the process that delivers needs it

        if self._session is None:
            self._session = aiohttp.ClientSession(os.environ["HOCKET_SINK"])
        told = {"notification": push.notification, "collapse_key": push.collapse_key}
        try:
            async with self._session.post(f"/{push.token}", json=told) as answer:
                return Delivered() if answer.status == 200 else Retry(f"HTTP {answer.status}")
        except aiohttp.ClientError as error:
            return Retry(f"{error!r}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


app.provider(Sink())


@app.post("/send")
async def send(request: Request) -> Any:
    asked = await request.json()
    audience = Audience.users(*asked["users"]) if asked["users"] else Audience.all()
    try:
        job = await app.notify(audience, Notification(title=asked["title"]))
    except HocketError as error:
        return JSONResponse({"error": str(error)}, 503)
    return JSONResponse({"id": job.id}, 202)


@app.get("/jobs/{id}")
async def status(request: Request) -> Any:
    try:
        job = await app.job(request.path_params["id"])
        now = await job.status()
    except HocketError as error:
        return JSONResponse({"error": str(error)}, 404 if "no notification" in str(error) else 503)
    return {name: getattr(now, name) for name in now.__struct_fields__}


@app.get("/jobs/{id}/report")
async def report(request: Request) -> Any:
    states: dict[str, int] = {}
    job = await app.job(request.path_params["id"])
    async for result in job.report():
        states[result.state] = states.get(result.state, 0) + 1
    return states


if __name__ == "__main__":
    app.run()
