"""The server's side of `hocket bench`: each client has a user and the rooms that it asks for."""

from typing import Any

from hocket import App, Socket

app = App(origins="*")


@app.on("connect")
def connect(socket: Socket, auth: dict[str, Any]) -> None:
    socket.user = str(auth.get("user", ""))
    socket.join(*map(str, auth.get("rooms", [])))


@app.on("echo")
async def echo(socket: Socket, message: str) -> None:
    socket.emit("echo", message)


@app.on("all")
def to_all(socket: Socket, message: str) -> None:
    app.to("everybody").emit("all", message)


@app.on("room")
def to_room(socket: Socket, room: str, message: str) -> None:
    app.to(room).emit("room", message)


if __name__ == "__main__":
    app.run()
