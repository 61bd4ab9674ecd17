// Node.js alone: a page at `/`; Server-Sent Events at `/events`, and `/go` sends one event to all of their clients.
import { createServer } from "node:http";
import { listen, stamped } from "./message.mjs";

const listeners = new Set();

function subscribe(request, response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.flushHeaders();
  listeners.add(response);
  request.on("close", () => listeners.delete(response));
}

function broadcast(request, response) {
  const event = Buffer.from(`event: message\ndata: ${JSON.stringify([{ text: stamped() }])}\n\n`);
  for (const listener of listeners) listener.write(event);
  response.end("sent");
}

function hello(request, response) {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end("Hello from Node!");
}

const routes = { "/": hello, "/events": subscribe, "/go": broadcast };

listen(
  createServer((request, response) => (routes[request.url] ?? hello)(request, response)),
  "http",
);
