// What all these servers have in common: the line that says where they serve, and the text of a broadcast.
import { hrtime } from "node:process";

export const LARGE = 16384;

/** Characters that begin with the monotonic clock, from which the load counts. */
export const stamped = (size = 96) => `@@${hrtime.bigint()}@@`.padEnd(size, "x");

/** A client's room beside "general": of 50 users each, as the loads number them. */
export const roomOf = (user) => `room-${Math.floor(parseInt(user?.slice(5) ?? "0") / 50)}`;

export const port = () => Number(process.argv[2] ?? 0);

/** Say where it serves. */
export const announce = (name, at) => console.log(`${name} serves http://127.0.0.1:${at}`);

/** Listen on 127.0.0.1 and the port in the first argument. */
export function listen(http, name) {
  http.listen({ port: port(), host: "127.0.0.1", backlog: 4096 }, () => announce(name, http.address().port));
}
