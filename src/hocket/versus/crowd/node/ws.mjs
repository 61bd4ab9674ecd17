// Node.js with ws: `go` sends one message of 120 bytes to all, `large` one of 16 KiB, `room` one to the client's room of 50, anything else is echoed.
// Each client has a user and two rooms. Several processes (processes.mjs) tell each other through their primary.
//
// Tuned as its documentation advises: no compression, the native add-on bufferutil, broadcasts as buffers (encoded once).
import cluster from "node:cluster";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { LARGE, listen, roomOf, stamped } from "./message.mjs";
import { follow, lead, leads } from "./processes.mjs";

const rooms = new Map();

function join(socket, name) {
  if (!rooms.has(name)) rooms.set(name, new Set());
  rooms.get(name).add(socket);
  socket.rooms.push(name);
}

function deliver({ name, text }) {
  const data = Buffer.from(text);
  for (const member of rooms.get(name) ?? []) member.send(data, { binary: false });
}

function broadcast(name, size) {
  const message = { name, text: JSON.stringify({ event: "m", text: stamped(size) }) };
  deliver(message);
  process.send?.(message);
}

function serve() {
  const http = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false });
  server.on("connection", (socket, request) => {
    socket.user = new URL(request.url, "http://here").searchParams.get("user") ?? "user-0";
    socket.rooms = [];
    join(socket, "general");
    join(socket, roomOf(socket.user));
    socket.on("error", () => socket.terminate());
    socket.on("close", () => socket.rooms.forEach((name) => rooms.get(name).delete(socket)));
    socket.on("message", async (data, binary) => {
      if (data.length === 2) broadcast("general");
      else if (data.length === 5) broadcast("general", LARGE);
      else if (data.length === 4) broadcast(socket.rooms[1]);
      else socket.send(data, { binary });
    });
  });
  return http;
}

/** What a worker sends goes to the others. */
function passOn() {
  cluster.on("message", (from, message) => {
    for (const worker of Object.values(cluster.workers)) if (worker !== from) worker.send(message);
  });
}

if (leads) lead("ws", passOn);
else if (cluster.isWorker) {
  process.on("message", deliver);
  follow(serve());
} else listen(serve(), "ws");
