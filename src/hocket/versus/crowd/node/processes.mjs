// Several processes on one port, by node:cluster: `--processes N`; without it one process, and no cluster.
//
// They share the connections as node:cluster does (round-robin). `--sticky` does it as Socket.IO's documentation wants it for
// clients that poll: by session, with @socket.io/sticky.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { setupMaster } from "@socket.io/sticky";
import { announce, listen, port } from "./message.mjs";

const at = process.argv.indexOf("--processes");

/** How many processes serve. */
export const processes = at < 0 ? 1 : Number(process.argv[at + 1]);
export const sticky = processes > 1 && process.argv.includes("--sticky");

/** Start the others and say where they serve once all listen. `prepare` runs before, in the primary alone. */
export function lead(name, prepare) {
  prepare();
  if (sticky) {
    const http = createServer();
    cluster.setupPrimary({ serialization: "advanced" }); // what has come with a connection goes along as bytes
    setupMaster(http, { loadBalancingMethod: "least-connection" });
    start(() => listen(http, name));
  } else start((address) => announce(name, address.port));
}

function start(whenReady) {
  let ready = 0;
  cluster.on(sticky ? "message" : "listening", (_, told) => {
    if (sticky && told !== "ready") return;
    if (++ready === processes) whenReady(told);
  });
  for (let i = 0; i < processes; i++) cluster.fork();
}

/** In one of several processes: serve what the primary passes on. */
export function follow(http) {
  if (sticky) process.send("ready");
  else http.listen({ port: port(), host: "127.0.0.1", backlog: 4096 });
}

/** Whether this process only leads. */
export const leads = processes > 1 && cluster.isPrimary;
