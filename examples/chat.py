"""The twenty-line chat: any Socket.IO client can join a room and talk in it."""

from time import time
from typing import Any

from hocket import App, Socket

app = App(origins="*")  # for the example's front end on another port; name your own origins here


@app.on("connect")
async def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("name", "guest"))
    socket.join("general")


@app.on("join")
def join(socket: Socket, room: str) -> None:
    socket.join(room)


@app.on("message")
async def message(socket: Socket, data: dict[str, str]) -> str:
    line = {"user": socket.user, "text": data["text"], "timestamp": int(time() * 1000)}
    app.to(data["room"]).emit("message", line)
    return "delivered"


if __name__ == "__main__":
    app.run()
