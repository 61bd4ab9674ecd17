// The push service of web-push-testing, unmodified, on a port of the machine's choice: says "http://..." when it is there.
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const { PushApiModel } = require("web-push-testing/src/PushApiModel.js");
const WebPushTestingServer = require("web-push-testing/src/server.js");

const log = console.log;
console.log = () => {};
const model = new PushApiModel();
const service = new WebPushTestingServer(model, 0);
service.startServer();
service._server.on("listening", () => {
  const url = `http://localhost:${service._server.address().port}`;
  model.notifyUrl = `${url}/notify/`;
  log(url);
});
