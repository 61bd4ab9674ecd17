"""Work for the processor beside requests that wait: a password hash, a picture made smaller in
plain code.
"""

import asyncio
import hashlib

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from serving import serve

WIDTH, HEIGHT, FACTOR = 1600, 1200, 4
picture = bytes(WIDTH * HEIGHT)
app = FastAPI(default_response_class=PlainTextResponse)


@app.get("/hash")
def hash() -> str:  # a `def` runs in a thread, and OpenSSL works without the GIL
    return hashlib.pbkdf2_hmac("sha256", b"correct horse battery staple", b"salt", 100_000).hex()


@app.get("/resize")
def resize() -> str:
    """The mean of each square of pixels."""
    smaller = bytearray()
    for y in range(0, HEIGHT, FACTOR):
        rows = [picture[(y + dy) * WIDTH : (y + dy + 1) * WIDTH] for dy in range(FACTOR)]
        for x in range(0, WIDTH, FACTOR):
            total = sum(sum(row[x : x + FACTOR]) for row in rows)
            smaller.append(total // FACTOR // FACTOR)
    return f"{len(smaller)} pixels"


@app.get("/wait")
async def wait() -> str:
    await asyncio.sleep(0.005)
    return "waited"


if __name__ == "__main__":
    serve("cpu", app)
