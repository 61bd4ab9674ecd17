// Node.js with Socket.IO, tuned as its documentation advises: WebSocket only, no compression, no HTTP polling,
// and the reference to the first request given up (docs: "Performance tuning").
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, httpCompression: false });
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
