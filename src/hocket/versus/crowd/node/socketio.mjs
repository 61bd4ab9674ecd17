// Node.js with Socket.IO: each client has a user and two rooms; `go` sends one message of 121 bytes to all (`large`: 16 KiB),
// `room` one to the client's room of 50, `echo` is answered. Several processes (processes.mjs) are joined by @socket.io/cluster-adapter.
//
// Tuned as its documentation advises ("Performance tuning"): the native add-on that ws can use (bufferutil, in package.json;
// utf-8-validate is for Node.js before 18.14), no compression, and the first request given up.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createAdapter, setupPrimary } from "@socket.io/cluster-adapter";
import { setupWorker } from "@socket.io/sticky";
import { Server } from "socket.io";
import { LARGE, listen, roomOf, stamped } from "./message.mjs";
import { follow, lead, leads, processes, sticky } from "./processes.mjs";

const SIZES = { large: LARGE };

function serve() {
  const http = createServer((_, response) => response.end("Hello from socket.io!"));
  const io = new Server(http, { perMessageDeflate: false, httpCompression: false, serveClient: false });
  if (processes > 1) io.adapter(createAdapter());
  if (sticky) setupWorker(io);

  io.engine.on("connection", (raw) => {
    raw.request = null;
  });

  io.on("connection", (socket) => {
    const { user } = socket.handshake.auth;
    const room = roomOf(user);
    socket.data.user = user;
    socket.join(["general", room]);
    socket.on("go", (how) => io.to("general").emit("message", { text: stamped(SIZES[how]) }));
    socket.on("room", () => io.to(room).emit("message", { text: stamped() }));
    socket.on("echo", async (data) => {
      socket.emit("echo", data);
    });
  });
  return http;
}

if (leads) lead("socket.io", setupPrimary);
else if (cluster.isWorker) follow(serve());
else listen(serve(), "socket.io");
