// What all these servers have in common: the line that says where they serve, and the text of a broadcast.
import { hrtime } from "node:process";

/** 96 characters that begin with the monotonic clock, from which the load counts. */
export const stamped = () => `@@${hrtime.bigint()}@@`.padEnd(96, "x");

/** Listen on 127.0.0.1 and the port in the first argument. */
export function listen(http, name) {
  http.listen({ port: Number(process.argv[2] ?? 0), host: "127.0.0.1", backlog: 4096 }, () =>
    console.log(`${name} serves http://127.0.0.1:${http.address().port}`),
  );
}
