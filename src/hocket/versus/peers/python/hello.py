"""A page."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from serving import serve

app = FastAPI(default_response_class=PlainTextResponse)


@app.get("/")
async def hello() -> str:
    return "Hello from FastAPI!"


if __name__ == "__main__":
    serve("hello", app)
