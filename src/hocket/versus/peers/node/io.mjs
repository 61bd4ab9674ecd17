// A handler that asks the database and another service, and answers with both.
import { createServer } from "node:http";
import { createClient } from "redis";
import { Pool } from "undici";
import { arg, listen } from "./serving.mjs";

const backend = `127.0.0.1:${arg(2)}`;
const database = createClient({ url: `redis://${backend}`, disableClientInfo: true, RESP: 2 });
const service = new Pool(`http://${backend}`, { connections: 256 });
await database.connect();

async function profile(response) {
  const user = await database.get("user:1234567");
  const { body } = await service.request({ path: "/wait", method: "GET" });
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ user: JSON.parse(user), status: await body.json() }));
}

listen(
  createServer((_, response) =>
    profile(response).catch((error) => response.writeHead(502).end(error.message)),
  ),
  "io",
);
