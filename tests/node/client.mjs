// The official client, unmodified: `node client.mjs URL SCENARIO`. Prints one line of JSON: what it saw.
import { io } from "socket.io-client";

const [url, scenario] = process.argv.slice(2);
const once = (emitter, event) => new Promise((done) => emitter.once(event, (...args) => done(args)));
const plain = (value) =>
  Buffer.isBuffer(value) ? { bytes: [...value] }
  : Array.isArray(value) ? value.map(plain)
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
  : value;

async function talk(transports, namespace = "") {
  const socket = io(url + namespace, { transports, auth: { user: "ada" }, reconnection: false });
  const packets = { in: [], out: [] };
  socket.io.engine.on("packet", (packet) => packets.in.push(packet.type));
  socket.io.engine.on("packetCreate", (packet) => packets.out.push(packet.type));
  const upgraded = transports.length > 1 && once(socket.io.engine, "upgrade");
  const opened = once(socket.io, "open").then(() => socket.io.engine.transport.name);
  const welcome = once(socket, "welcome");
  const asked = new Promise((done) => socket.on("question", (value, answer) => (answer(value * 2), done(value))));
  await once(socket, "connect");
  const seen = { first: await opened, welcome: plain(await welcome), namespace: socket.nsp };
  if (upgraded) await upgraded;
  seen.last = socket.io.engine.transport.name;
  seen.echo = plain(await socket.emitWithAck("echo", 1, "two", { three: [true, null] }));
  seen.binary = plain(await socket.emitWithAck("echo", Buffer.from([1, 2, 3]), { deep: [Buffer.from([4])] }));
  const asking = socket.emitWithAck("ask", 21);
  seen.asked = await asked;
  seen.answer = await asking;
  const roomed = once(socket, "in-room");
  await socket.emitWithAck("join", "kitchen");
  socket.emit("say", "kitchen", "hello");
  seen.room = await roomed;
  seen.packets = packets;
  const gone = once(socket, "disconnect");
  socket.disconnect();
  seen.reason = (await gone)[0];
  return seen;
}

const scenarios = {
  websocket: () => talk(["websocket"]),
  polling: () => talk(["polling"]),
  upgrade: () => talk(["polling", "websocket"]),
  namespace: () => talk(["websocket"], "/admin"),
  async refused() {
    const socket = io(url + "/closed", { reconnection: false });
    const [error] = await once(socket, "connect_error");
    socket.close();
    return { message: error.message, data: error.data };
  },
  async unknown() {
    const socket = io(url + "/nowhere", { reconnection: false });
    const [error] = await once(socket, "connect_error");
    socket.close();
    return { message: error.message };
  },
  async kicked() {
    const socket = io(url, { transports: ["polling"] });
    await once(socket, "connect");
    const gone = once(socket, "disconnect");
    socket.emit("kick");
    return { reason: (await gone)[0], active: socket.active };
  },
  // Says "connected" each time it is, until it has been twice: the test restarts the server in between.
  async reconnect() {
    const socket = io(url, { reconnectionDelay: 50, reconnectionDelayMax: 100 });
    for (let times = 0; times < 2; times++) {
      await once(socket, "connect");
      const [value] = await socket.emitWithAck("echo", times);
      console.log(`connected ${value}`);
    }
    socket.disconnect();
    return { done: true };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
process.exit(0);
