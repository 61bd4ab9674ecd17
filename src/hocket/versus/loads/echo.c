/* The load of echoes: each client has one message under way, and sends the next when the answer has come. Or so many of all
 * of them together a second, by the clock: then the time of each counts from when it should have been sent, also if it had
 * to wait for a client that was free.
 *
 *   echo PORT CLIENTS raw|socketio
 *
 * It connects all clients and prints one line of JSON. Then every line on stdin is a number of seconds to run for, and
 * perhaps how many to send a second, and prints another: how many events per second came back, percentiles of the time each took, and how much of it
 * had passed when it was sent (late_p99_us): the load's own part, before the server had a chance. It ends with stdin.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "histogram.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct histogram times, late;
static long long under_way;
static int running, next; /* next: who sends next, by the clock */
static long long due, interval;

static void ask(struct client *c, long long since) {
  c->asked = since;
  if (interval) record(&late, now() - since);
  under_way++;
  say(&c->stream, kind->echo);
}

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  if (memmem(text, size, "@@", 2)) return; /* a broadcast, which others have asked for */
  if (!c->asked || !memmem(text, size, "hello there", 11))
    fail("got what is no echo: %.*s", (int)(size < 200 ? size : 200), text);
  long long took = (progress = now()) - c->asked;
  record(&times, took);
  under_way--;
  c->asked = 0;
  if (running && !interval) ask(c, now());
}

/* Whatever is due, if somebody is free. */
static void ask_by_clock(void) {
  for (; due <= now() && !clients[next].asked; due += interval, next = (next + 1) % count) ask(&clients[next], due);
}

static void turn_by_clock(long long end) {
  long long until = clients[next].asked ? now() + SECOND / 1000 : due < end ? due : end, left = until - now();
  turn(left > 0 ? left : 0);
  ask_by_clock();
}

static void run(double seconds, double per_second) {
  clear(&times);
  clear(&late);
  running = 1;
  long long began = progress = now(), end = began + seconds * 1e9, in_time;
  interval = per_second > 0 ? SECOND / per_second : 0;
  due = began;
  for (int i = 0; i < count && !interval; i++) ask(&clients[i], now());
  while (now() < end)
    if (interval) turn_by_clock(end);
    else turn_or_stall();
  in_time = times.total;
  running = 0;
  double took = (now() - began) / 1e9;
  while (under_way) turn_or_stall();
  printf("{\"events\": %lld, \"events_per_s\": %.1f, ", in_time, in_time / took);
  print_percentiles(&times);
  printf(", \"late_p99_us\": %.1f}\n", microseconds(&late, 0.99));
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
    char *rest;
    double seconds = strtod(asked, &rest);
    run(seconds, atof(rest));
  }
  return 0;
}
