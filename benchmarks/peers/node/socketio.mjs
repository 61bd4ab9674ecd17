// Node.js with Socket.IO: each client has a user and two rooms; `go` sends one message of 121 bytes to all, `echo` is answered.
//
// Tuned as its documentation advises ("Performance tuning"): the native add-on that ws can use (bufferutil, in package.json;
// utf-8-validate is for Node.js before 18.14), no compression, and the first request given up.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { listen, stamped } from "./message.mjs";

const http = createServer((_, response) => response.end("Hello from socket.io!"));
const io = new Server(http, { perMessageDeflate: false, httpCompression: false, serveClient: false });
let joined = 0;

io.engine.on("connection", (raw) => {
  raw.request = null;
});

io.on("connection", (socket) => {
  socket.data.user = socket.handshake.auth.user;
  socket.join(["general", `room-${Math.floor(joined++ / 50)}`]);
  socket.on("go", () => io.to("general").emit("message", { text: stamped() }));
  socket.on("echo", async (data) => {
    socket.emit("echo", data);
  });
});

listen(http, "socket.io");
