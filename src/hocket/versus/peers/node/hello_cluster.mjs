// A page, from as many processes as the second argument says: as the documentation of node:cluster does.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { arg, listen } from "./serving.mjs";

if (cluster.isPrimary) for (let i = 0; i < Number(arg(2)); i++) cluster.fork();
else listen(createServer((_, response) => response.end("Hello from Node!")), "hello");
