/* The load of broadcasts: many clients, and a clock that stops with the last of them.
 *
 *   broadcast PORT CLIENTS raw|socketio|centrifuge|sse [browser]
 *
 * It connects all clients to 127.0.0.1:PORT, at most 200 at a time, and prints one line of JSON. Then every line on stdin
 * is a round, and prints another: the first client sends "go" (for SSE, where clients only listen, a request GET /go
 * does), and each client must get that broadcast exactly once. After the end of stdin it listens a little longer for
 * broadcasts that nobody asked for, and exits with 0.
 *
 * A broadcast carries the server's monotonic clock as @@nanoseconds@@, the same for everyone: times are counted from there.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const long long LINGER = SECOND / 5;
static int round_now, in_round, received;
static unsigned payload;
static long long asked_at, sent_at, last_arrival, *latencies;

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  const unsigned char *at = memmem(text, size, "@@", 2);
  if (!at) fail("got a message that is no broadcast: %.*s", (int)(size < 200 ? size : 200), text);
  long long stamp = atoll((const char *)at + 2);
  if (!in_round) fail("got a broadcast that was not asked for");
  if (stamp < asked_at) fail("got a broadcast of an earlier round");
  if (c->round == round_now) fail("a client got a broadcast twice");
  if (received && stamp != sent_at) fail("a client got another broadcast than the others");
  c->round = round_now;
  sent_at = stamp;
  payload = size;
  last_arrival = progress = now();
  latencies[received++] = last_arrival - stamp;
}

static void go(int port) {
  static struct stream by_request = {.fd = -1};
  char request[128];
  if (kind->go) {
    say(&clients[0].stream, kind->go);
    return;
  }
  if (by_request.fd >= 0) close(by_request.fd); /* its answer is nobody's concern */
  open_stream(&by_request, 0, port);
  int size = snprintf(request, sizeof request, "GET /go HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", port);
  while (write(by_request.fd, request, size) != size) usleep(100); /* not connected yet */
}

static void broadcast(int port) {
  round_now++;
  received = 0;
  in_round = 1;
  asked_at = progress = now();
  go(port);
  while (received < count) turn_or_stall();
  in_round = 0;
  qsort(latencies, count, sizeof *latencies, ascending);
  printf("{\"last_ms\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"payload_bytes\": %u}\n", (last_arrival - sent_at) / 1e6,
    latencies[count / 2] / 1e6, latencies[count * 99LL / 100] / 1e6, payload);
}

/* Rounds as they are asked for. Between them only stdin is without a deadline. */
static void serve_stdin(int port) {
  char asked[64];
  for (;;) {
    if (!turn(-1)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++)
      if (asked[i] == '\n') broadcast(port);
  }
  forget_stdin();
  for (long long end = now() + LINGER, left; (left = end - now()) > 0;) turn(left);
}

int main(int argc, char **argv) {
  int port = clients_arguments(argc, argv);
  need((latencies = calloc(count, sizeof *latencies)) != NULL, "memory");
  connect_all(port);
  serve_stdin(port);
  return 0;
}
