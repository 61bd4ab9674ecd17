"""A page."""

import sys

from hocket import App

app = App()


@app.get("/")
def hello() -> str:
    return "Hello from Hocket!"


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
