// Files: one comes in and goes to disk, one comes from disk and goes out, both as streams.
import { createReadStream, createWriteStream } from "node:fs";
import { stat, unlink } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { arg, listen } from "./serving.mjs";

const path = arg(2);
let uploads = 0;

async function upload(request, response) {
  const to = join(tmpdir(), `upload-${process.pid}-${uploads++}`);
  try {
    const file = createWriteStream(to);
    await pipeline(request, file);
    response.end(`${file.bytesWritten} bytes`);
  } finally {
    await unlink(to);
  }
}

async function download(_, response) {
  const { size } = await stat(path);
  response.setHeader("content-length", size);
  await pipeline(createReadStream(path), response);
}

const routes = { "/upload": upload, "/download": download };

listen(
  createServer((request, response) =>
    routes[request.url](request, response).catch(() => response.destroy()),
  ),
  "files",
);
