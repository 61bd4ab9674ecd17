"""Work for the processor beside requests that wait: a password hash, a picture made smaller in
plain code.
"""

import asyncio
import hashlib
import sys

from hocket import App

WIDTH, HEIGHT, FACTOR = 1600, 1200, 4
picture = bytes(WIDTH * HEIGHT)
app = App()


@app.get("/hash")
async def hash() -> str:  # in a thread, where OpenSSL works without the GIL
    password = b"correct horse battery staple"
    key = await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", password, b"salt", 100_000)
    return key.hex()


@app.get("/resize")
async def resize() -> str:
    return await asyncio.to_thread(smaller)


def smaller() -> str:
    """The mean of each square of pixels."""
    result = bytearray()
    for y in range(0, HEIGHT, FACTOR):
        rows = [picture[(y + dy) * WIDTH : (y + dy + 1) * WIDTH] for dy in range(FACTOR)]
        for x in range(0, WIDTH, FACTOR):
            total = sum(sum(row[x : x + FACTOR]) for row in rows)
            result.append(total // FACTOR // FACTOR)
    return f"{len(result)} pixels"


@app.get("/wait")
async def wait() -> str:
    await asyncio.sleep(0.005)
    return "waited"


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]))
