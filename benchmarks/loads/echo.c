/* The load of echoes: each client has one message under way, and sends the next when the answer has come.
 *
 *   echo PORT CLIENTS raw|socketio
 *
 * It connects all clients and prints one line of JSON. Then every line on stdin is a number of seconds to run for, and
 * prints another: how many events per second came back, and percentiles of the time each took. It ends with stdin.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Latencies in nanoseconds, as counts in buckets that are 1/64 of their value wide. */
enum { STEPS = 64, BUCKETS = 64 * STEPS };
static long long histogram[BUCKETS], answered, longest, under_way;
static int running;

static int bucket(long long value) {
  if (value < STEPS) return value < 0 ? 0 : value;
  int shift = 63 - __builtin_clzll(value) - 6;
  return (shift + 1) * STEPS + (int)((value >> shift) - STEPS);
}

static long long bucket_value(int at) {
  int shift = at / STEPS - 1;
  return shift < 0 ? at : ((long long)(at % STEPS + STEPS) << shift);
}

static double percentile_us(double share) {
  long long wanted = answered * share, seen = 0;
  for (int at = 0; at < BUCKETS; at++)
    if ((seen += histogram[at]) > wanted) return bucket_value(at) / 1e3;
  return longest / 1e3;
}

static void ask(struct client *c) {
  c->asked = now();
  under_way++;
  say(&c->stream, kind->echo);
}

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  if (!c->asked || !memmem(text, size, "hello there", 11))
    fail("got what is no echo: %.*s", (int)(size < 200 ? size : 200), text);
  long long took = (progress = now()) - c->asked;
  histogram[bucket(took)]++;
  if (took > longest) longest = took;
  answered++;
  under_way--;
  c->asked = 0;
  if (running) ask(c);
}

static void run(double seconds) {
  memset(histogram, 0, sizeof histogram);
  answered = longest = 0;
  running = 1;
  long long began = progress = now(), end = began + seconds * 1e9, in_time;
  for (int i = 0; i < count; i++) ask(&clients[i]);
  while (now() < end) turn_or_stall();
  in_time = answered;
  running = 0;
  double took = (now() - began) / 1e9;
  while (under_way) turn_or_stall();
  printf("{\"events\": %lld, \"events_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
    in_time, in_time / took, percentile_us(0.5), percentile_us(0.99), percentile_us(0.999), longest / 1e3);
}

int main(int argc, char **argv) {
  clients_arguments(argc, argv);
  char asked[64];
  connect_all(total);
  for (;;) {
    if (!turn(-1)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked - 1);
    if (got <= 0) break;
    asked[got] = 0;
    run(atof(asked));
  }
  return 0;
}
