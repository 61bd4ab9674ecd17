// A TCP proxy: every connection is joined to one of its own behind it.
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";
import { arg, listen } from "./serving.mjs";

const backend = { host: "127.0.0.1", port: Number(arg(2)), noDelay: true };

listen(
  createServer({ noDelay: true }, (client) => {
    const server = connect(backend);
    pipeline(client, server, client, () => {});
  }),
  "proxy",
);
