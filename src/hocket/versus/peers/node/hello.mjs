// A page.
import { createServer } from "node:http";
import { listen } from "./serving.mjs";

listen(createServer((_, response) => response.end("Hello from Node!")), "hello");
