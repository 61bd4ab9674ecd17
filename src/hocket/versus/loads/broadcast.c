/* The load of broadcasts: many clients, and a clock that stops with the last of them.
 *
 *   broadcast PORT CLIENTS raw|socketio|centrifuge|sse [browser] [storm|moment]
 *
 * It connects all clients to 127.0.0.1:PORT, at most 200 at a time (in a storm 4,000, or all in one moment), and prints one line of JSON. Then every line on stdin
 * is a round (`large`: of a message of 16 KiB; `wait`: of one that somebody else asks for), and prints another: the first client sends "go" (for SSE, where clients only listen, a request GET /go
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

/* The round, as all processes see it. Latencies are by the numbers of the clients. */
static struct round {
  int number, open;
  unsigned payload;
  long long asked_at;
  _Atomic long long sent_at;
  struct tally received;
} *now_on;
static long long *latencies;

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  const unsigned char *at = memmem(text, size, "@@", 2);
  if (!at) fail("got a message that is no broadcast: %.*s", (int)(size < 200 ? size : 200), text);
  long long stamp = atoll((const char *)at + 2), unknown = 0;
  if (!now_on->open) fail("got a broadcast that was not asked for");
  if (stamp < now_on->asked_at) fail("got a broadcast of an earlier round");
  if (c->round == now_on->number) fail("a client got a broadcast twice");
  if (!atomic_compare_exchange_strong(&now_on->sent_at, &unknown, stamp) && unknown != stamp)
    fail("a client got another broadcast than the others");
  c->round = now_on->number;
  now_on->payload = size;
  progress = now();
  latencies[first + (c - clients)] = progress - stamp;
  count_up(&now_on->received);
}

static void go(int large) {
  static struct stream by_request = {.fd = -1};
  char request[128];
  if (kind->go) {
    say(&clients[0].stream, large ? kind->large : kind->go);
    return;
  }
  if (by_request.fd >= 0) close(by_request.fd); /* its answer is nobody's concern */
  open_stream(&by_request, 0, port);
  int size = snprintf(request, sizeof request, "GET /go HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", port);
  while (write(by_request.fd, request, size) != size) usleep(100); /* not connected yet */
}

static void broadcast(char how) {
  now_on->number++;
  now_on->received.reached = 0;
  now_on->sent_at = 0;
  now_on->asked_at = progress = now();
  now_on->open = 1;
  if (how != 'w') go(how == 'l');
  await(&now_on->received, turn_or_stall);
  now_on->open = 0;
  qsort(latencies, total, sizeof *latencies, ascending);
  printf("{\"last_ms\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"payload_bytes\": %u}\n", latencies[total - 1] / 1e6,
    latencies[total / 2] / 1e6, latencies[total * 99LL / 100] / 1e6, now_on->payload);
}

/* Rounds as they are asked for. Between them only stdin is without a deadline. */
static void serve_stdin(void) {
  char asked[64];
  for (;;) {
    if (!turn(-1)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++)
      if (asked[i] == '\n') broadcast(asked[0]);
  }
  dismiss();
  forget_stdin();
  for (long long end = now() + LINGER, left; (left = end - now()) > 0;) turn(left);
}

int main(int argc, char **argv) {
  clients_arguments(argc, argv);
  now_on = shared(sizeof *now_on);
  now_on->received.goal = total;
  latencies = shared(total * sizeof *latencies);
  connect_all(1);
  serve_stdin();
  return ended_well();
}
