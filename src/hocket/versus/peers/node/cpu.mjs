// Work for the processor beside requests that wait: a password hash, a picture made smaller in plain code.
import { pbkdf2 } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { listen } from "./serving.mjs";

const [width, height, factor] = [1600, 1200, 4];
const picture = new Uint8Array(width * height);

// Off the event loop: libuv has threads for this.
async function hash() {
  const key = await promisify(pbkdf2)("correct horse battery staple", "salt", 100_000, 32, "sha256");
  return key.toString("hex");
}

// The mean of each square of pixels.
function resize() {
  const smaller = new Uint8Array(picture.length / factor / factor);
  let at = 0;
  for (let y = 0; y < height; y += factor) {
    for (let x = 0; x < width; x += factor) {
      let sum = 0;
      for (let dy = 0; dy < factor; dy++) {
        for (let dx = 0; dx < factor; dx++) sum += picture[(y + dy) * width + x + dx];
      }
      smaller[at++] = sum / factor / factor;
    }
  }
  return `${smaller.length} pixels`;
}

const wait = () => setTimeout(5, "waited");

const routes = { "/hash": hash, "/resize": resize, "/wait": wait };

listen(
  createServer(async (request, response) => response.end(await routes[request.url]())),
  "cpu",
);
