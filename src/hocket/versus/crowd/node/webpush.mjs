// The web-push package, with connections that are kept: `node webpush.mjs webpush URL COUNT TASKS`.
import webpush from "web-push";
import { Agent } from "node:https";
import { createECDH } from "node:crypto";

const [, url, count, tasks] = process.argv.slice(2).map((each, n) => (n < 2 ? each : Number(each)));
const keys = webpush.generateVAPIDKeys();
webpush.setVapidDetails("mailto:a@example.com", keys.publicKey, keys.privateKey);
const agent = new Agent({ keepAlive: true, maxSockets: tasks });
const text = JSON.stringify({
  title: "The kettle boils",
  body: "Somebody should see to it before it boils over and the kitchen is full of steam.",
  url: "https://example.com/kitchen",
});
const devices = Array.from({ length: 1000 }, (_, number) => {
  const key = createECDH("prime256v1");
  const auth = Buffer.alloc(16, number);
  return { endpoint: `${url}/push/${number}`, keys: { p256dh: key.generateKeys("base64url"), auth: auth.toString("base64url") } };
});
const options = { TTL: 3600, contentEncoding: "aes128gcm", agent };

async function all(total) {
  let number = 0;
  const work = async () => {
    while (number < total) await webpush.sendNotification(devices[number++ % devices.length], text, options);
  };
  await Promise.all(Array.from({ length: tasks }, work));
}

await all(Math.floor(count / 10));
const began = process.hrtime.bigint();
const before = process.cpuUsage();
await all(count);
const cpu = process.cpuUsage(before);
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
console.log(JSON.stringify({ per_s: count / seconds, cpu_us: (cpu.user + cpu.system) / count, pushes: count }));
process.exit(0);
