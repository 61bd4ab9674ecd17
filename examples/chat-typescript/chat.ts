// The same chat for a front end in plain TypeScript: the client is `socket.io-client`, unchanged.
//
//   npm install && npm run build && node chat.js http://127.0.0.1:8080 ada "hello, everyone"
import { io, type Socket } from "socket.io-client";

interface Line {
  user: string;
  text: string;
  timestamp: number;
}

interface FromServer {
  message: (line: Line) => void;
}

interface ToServer {
  message: (said: { room: string; text: string }, answer: (status: string) => void) => void;
}

const [url = "http://127.0.0.1:8080", name = "guest", text = "hello"] = process.argv.slice(2);
const socket: Socket<FromServer, ToServer> = io(url, { auth: { name } });

socket.on("message", (line) => console.log(`${line.user}: ${line.text}`));

socket.on("connect", () => {
  socket.emit("message", { room: "general", text }, (status) => {
    console.log(status); // behind the message itself: one connection, one order
    socket.disconnect();
  });
});

socket.on("connect_error", (error) => console.error(error.message));
