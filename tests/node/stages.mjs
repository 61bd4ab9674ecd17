// The official client, unmodified: `node stages.mjs URL`. Three clients, one on each way, in one room: they talk while
// one of them moves from polling to WebSocket. Prints one line of JSON: what each had heard at each stage.
import { io } from "socket.io-client";

const url = process.argv[2];
const MANY = 200;
const once = (emitter, event) => new Promise((done) => emitter.once(event, (...args) => done(args)));

async function join(transports) {
  const socket = io(url, { transports, auth: { user: transports.join() }, reconnection: false, forceNew: true });
  const client = { socket, heard: [], counts: {}, stage: "before" };
  const count = (way) => ({ type }) => {
    const counts = (client.counts[client.stage] ??= {});
    counts[`${way} ${type}`] = (counts[`${way} ${type}`] ?? 0) + 1;
  };
  socket.io.engine.on("packet", count("in"));
  socket.io.engine.on("packetCreate", count("out"));
  client.upgraded = transports.length > 1 ? once(socket.io.engine, "upgrade") : Promise.resolve();
  socket.on("in-room", (text) => client.heard.push(Number(text)));
  once(socket.io, "open").then(() => { client.first = socket.io.engine.transport.name; });
  await once(socket, "connect");
  return client;
}
const enter = (client) => client.socket.emitWithAck("join", "kitchen");

const steady = [await join(["websocket"]), await join(["polling"])];
for (const client of steady) await enter(client);

// From its first moment, so while it moves, its own questions are answered, and it hears what all hear.
const mover = await join(["polling", "websocket"]);
const clients = [...steady, mover];
const answers = [];
const entered = enter(mover);
for (let at = 0; at < MANY; at++) mover.socket.emitWithAck("echo", at).then(([value]) => answers.push(value));
await entered;
for (let at = 0; at < MANY; at++) steady[0].socket.emit("say", "kitchen", String(at));
await mover.upgraded;
const heardAll = async (total) => {
  while (clients.some(({ heard }) => heard.length < total) || answers.length < MANY) await new Promise((on) => setTimeout(on, 5));
};
await heardAll(MANY);

// Afterwards: one packet out and one in for each question, and nothing else.
for (const client of clients) client.stage = "after";
for (let at = 0; at < 10; at++) for (const { socket } of clients) await socket.emitWithAck("echo", at);
await mover.socket.emitWithAck("join", "garden");
for (const client of clients) client.stage = "binary";
for (const { socket } of clients) await socket.emitWithAck("echo", Buffer.from([1]), Buffer.from([2]));
for (const client of clients) client.stage = "end";
steady[0].socket.emit("say", "garden", String(MANY));
while (mover.heard.length <= MANY) await new Promise((on) => setTimeout(on, 5));

console.log(JSON.stringify({
  answers,
  clients: clients.map(({ socket, first, heard, counts }) => ({ first, last: socket.io.engine.transport.name, heard, counts })),
}));
for (const { socket } of clients) socket.disconnect();
