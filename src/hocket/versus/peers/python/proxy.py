"""A TCP proxy: every connection is joined to one of its own behind it."""

import asyncio
from asyncio import StreamReader, StreamWriter

import uvloop
from serving import arg


async def pipe(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def join(client_reader: StreamReader, client_writer: StreamWriter) -> None:
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", int(arg(2)))
    await asyncio.gather(pipe(client_reader, server_writer), pipe(server_reader, client_writer))


async def main() -> None:
    server = await asyncio.start_server(join, "127.0.0.1", int(arg(1)), backlog=4096)
    print(f"proxy serves http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
