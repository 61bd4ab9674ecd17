"""For test_event_source.py: tells each listener from where it resumes, and two numbers more."""

from __future__ import annotations

from typing import Any

from starlette.responses import HTMLResponse

from hocket import App, Socket

PAGE = """<!doctype html><script>
window.seen = [];
const events = new EventSource("/events");
for (const name of ["from", "n"])
  events.addEventListener(name, (event) => seen.push([name, ...JSON.parse(event.data)]));
</script>"""

app = App()


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    last = socket.handshake.headers.get("last-event-id", "")
    socket.emit("from", last)
    for number in range(int(last or 0) + 1, int(last or 0) + 3):
        socket.cursor(str(number)).emit("n", number)


app.run()
