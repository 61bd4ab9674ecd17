// A push to every user's device: a promise for each user, and Promise.all for all.
import { Pool } from "undici";
import { arg } from "./serving.mjs";

const provider = new Pool(`http://127.0.0.1:${arg(1)}`, { connections: 128 });
const headers = { "content-type": "application/json" };
let failed = 0;

async function sendPush(token) {
  const body = JSON.stringify({ token, title: "Sale", body: "Everything must go" });
  const answer = await provider.request({ method: "POST", path: "/count", headers, body });
  await answer.body.dump();
}

const began = performance.now();
const users = Array.from({ length: Number(arg(2)) }, (_, user) => `device-${user}`);
await Promise.all(users.map((token) => sendPush(token).catch(() => failed++)));
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, failed }));
process.exit();
