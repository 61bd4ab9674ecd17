// A chat in rooms with express and socket.io: `join` and `leave` a room, `message` to its members.
import { createServer } from "node:http";
import express from "express";
import { Server } from "socket.io";
import { pauses } from "./pauses.mjs";
import { listen } from "./serving.mjs";

const app = express();
app.get("/pauses", (_, response) => response.json(pauses()));

const http = createServer(app);
const io = new Server(http, { perMessageDeflate: false, httpCompression: false, serveClient: false });
io.engine.on("connection", (raw) => {
  raw.request = null; // as its page on performance advises
});

io.on("connection", (socket) => {
  const { user } = socket.handshake.auth;
  socket.on("join", (room) => socket.join(room));
  socket.on("leave", (room) => socket.leave(room));
  socket.on("message", ({ room, text }) => {
    io.to(room).emit("message", { user, text, timestamp: Date.now() });
  });
});

listen(http, "chat");
