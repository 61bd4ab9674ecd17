// An HTTP/2 server that behaves as Apple's does, or does not: `node apple.mjs CERT KEY P8 [STREAMS]`. It checks each request as
// Apple's documentation has it. What it does is in the device token's first two digits; says "https://..." when it is there,
// and after that a line of JSON for each request.
import { createSecureServer, constants } from "node:http2";
import { readFileSync } from "node:fs";
import { createPublicKey, createPrivateKey, verify } from "node:crypto";

const [cert, key, p8, streams] = process.argv.slice(2);
const settings = streams ? { maxConcurrentStreams: Number(streams) } : {};
const server = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key), settings });
const publicKey = createPublicKey(createPrivateKey(readFileSync(p8)));
const say = (what) => console.log(JSON.stringify(what));
let connections = 0;
const seen = new Map(); // times that a device token was asked for

function problem(headers, body) {
  const [head, claims, signature] = (headers.authorization ?? "").replace(/^bearer /, "").split(".");
  if (!signature) return [403, "MissingProviderToken"];
  const signed = { key: publicKey, dsaEncoding: "ieee-p1363" };
  if (!verify("sha256", Buffer.from(`${head}.${claims}`), signed, Buffer.from(signature, "base64url")))
    return [403, "InvalidProviderToken"];
  const { kid, alg } = JSON.parse(Buffer.from(head, "base64url"));
  const { iss, iat } = JSON.parse(Buffer.from(claims, "base64url"));
  if (kid !== "KEY1234567" || alg !== "ES256" || iss !== "TEAM123456") return [403, "InvalidProviderToken"];
  if (Date.now() / 1000 - iat > 3600) return [403, "ExpiredProviderToken"];
  if (headers["apns-topic"] !== "com.example.app") return [400, "BadTopic"];
  if (headers["apns-push-type"] !== "alert") return [400, "InvalidPushType"];
  if (!["1", "5", "10"].includes(headers["apns-priority"])) return [400, "BadPriority"];
  if (!/^\d+$/.test(headers["apns-expiration"])) return [400, "BadExpirationDate"];
  if (Buffer.byteLength(headers["apns-collapse-id"]) > 64) return [400, "BadCollapseId"];
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(headers["apns-id"])) return [400, "BadMessageId"];
  if (body.length > 4096) return [413, "PayloadTooLarge"];
  if (!JSON.parse(body).aps.alert) return [400, "PayloadEmpty"];
  return undefined;
}

const error = (status, reason, more = {}, headers = {}) => (stream) =>
  stream.end2({ ":status": status, ...headers }, JSON.stringify({ reason, ...more }));

const BEHAVIOUR = {
  "01": error(410, "Unregistered", { timestamp: 1700000000123 }),
  "02": error(410, "ExpiredToken"),
  "03": error(400, "BadDeviceToken"),
  "04": error(400, "DeviceTokenNotForTopic"),
  "05": error(429, "TooManyRequests", {}, { "retry-after": "7" }),
  "06": error(429, "TooManyProviderTokenUpdates"),
  "07": error(500, "InternalServerError"),
  "08": error(503, "ServiceUnavailable", {}, { "retry-after": "30" }),
  "09": error(403, "InvalidProviderToken"),
  "0a": error(400, "IdleTimeout"),
  "0b": error(413, "PayloadTooLarge"),
  "0c": (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  "0d": () => {}, // never answers
  "0e": (stream) => stream.session.destroy(),
  "0f": (stream) => stream.end2({ ":status": 410 }, "no JSON \xff"),
  "10": error(410, "SomethingNew"),
  "11": error(404, "BadPath"),
  "12": (stream) => stream.end2({ ":status": 400 }, "x".repeat(200_000)),
  // The first time: goes away without having looked at this one. Then it is fine.
  "20": (stream, again) => {
    if (again) return fine(stream);
    const { session } = stream;
    session.goaway(0, stream.id - 2);
    setTimeout(() => session.close(), 100);
  },
  // Goes away, but answers this one after that.
  "21": (stream) => {
    stream.session.goaway(0, stream.id);
    setTimeout(() => fine(stream), 50);
  },
  "22": (stream, again) => (again ? fine(stream) : stream.close(constants.NGHTTP2_REFUSED_STREAM)),
  "23": (stream) => setTimeout(() => fine(stream), 50),
};
const fine = (stream) => stream.end2({ ":status": 200, "apns-id": stream.id2 });

server.on("session", (session) => {
  const number = ++connections;
  session.on("error", () => {});
  session.proven = false;
  session.on("stream", (stream, headers) => {
    const chunks = [];
    session.open = (session.open ?? 0) + 1;
    const most = session.open;
    const tooMany = !session.proven && most > 1; // Apple allows one until a token was good
    stream.on("error", () => {});
    stream.on("close", () => session.open--);
    stream.end2 = (fields, body) => {
      if (stream.destroyed) return;
      if (fields[":status"] !== 403) session.proven = true;
      stream.respond(fields);
      stream.end(body);
    };
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const device = headers[":path"].split("/")[3];
      const again = seen.has(device);
      seen.set(device, true);
      stream.id2 = headers["apns-id"];
      const wrong = tooMany ? [403, "TooManyStreams"] : problem(headers, body);
      say({ device, connection: number, most, wrong: wrong?.[1] ?? "", headers, payload: JSON.parse(body) });
      if (wrong) error(...wrong)(stream);
      else (BEHAVIOUR[device.slice(0, 2)] ?? fine)(stream, again);
    });
  });
});
server.listen(0, "127.0.0.1", () => console.log(`https://localhost:${server.address().port}`));
