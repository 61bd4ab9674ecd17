// Node.js with Socket.IO: each client has a user and two rooms; `go` sends one message of 121 bytes to all.
//
// Tuned as its documentation advises ("Performance tuning"): WebSocket only, no compression, the native add-on that ws can
// use (bufferutil, in package.json; utf-8-validate is for Node.js before 18.14), and the first request given up.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, httpCompression: false, serveClient: false });
let joined = 0;

io.engine.on("connection", (raw) => {
  raw.request = null;
});

io.on("connection", (socket) => {
  socket.data.user = socket.handshake.auth.user;
  socket.join(["general", `room-${Math.floor(joined++ / 50)}`]);
  socket.on("go", () => {
    io.to("general").emit("message", { text: `@@${process.hrtime.bigint()}@@`.padEnd(96, "x") });
  });
});

http.listen({ port: Number(process.argv[2] ?? 0), host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`socket.io serves http://127.0.0.1:${http.address().port}`),
);
