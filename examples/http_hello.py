"""The ten-line HTTP server: `python examples/http_hello.py`, then open the printed URL."""

from hocket import App

app = App()


@app.get("/")
def hello() -> str:
    return "Hello from Hocket!"


if __name__ == "__main__":
    app.run()
