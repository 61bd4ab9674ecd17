// What is no part of a program's idea: where it listens.

/** An argument of the command line, or what stands in for it. */
export const arg = (number, otherwise = "0") => process.argv[number + 1] ?? otherwise;

/** Listen on the port in the first argument and say where. */
export function listen(server, name) {
  server.listen({ port: Number(arg(1)), host: "127.0.0.1", backlog: 4096 }, () =>
    console.log(`${name} serves http://127.0.0.1:${server.address().port}`),
  );
}
