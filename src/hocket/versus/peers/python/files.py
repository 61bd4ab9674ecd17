"""Files: one comes in and goes to disk, one comes from disk and goes out, both as streams."""

import tempfile

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse
from serving import arg, serve

app = FastAPI(default_response_class=PlainTextResponse)


@app.post("/upload")
async def upload(request: Request) -> str:
    with tempfile.TemporaryFile() as file:
        async for chunk in request.stream():
            file.write(chunk)
        return f"{file.tell()} bytes"


@app.get("/download")
def download() -> FileResponse:
    return FileResponse(arg(2))


if __name__ == "__main__":
    serve("files", app)
