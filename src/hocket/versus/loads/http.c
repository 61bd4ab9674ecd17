/* The load over HTTP/1.1: clients that keep their connections, one request under way on each.
 *
 *   http PORT CLIENTS
 *
 * It connects all clients and prints one line of JSON. Then every line on stdin is
 *
 *   RATE SECONDS METHOD PATH BODY_BYTES
 *
 * and prints another. With rate 0 each client sends its next request when it has its answer (a closed loop: the times are
 * those of the service). With a rate the requests have a schedule that no slow answer moves (an open loop): a time counts
 * from when the request was due, also when no client was free then. Requests that were due and never sent count with the
 * time they had waited, and as `missed`.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "net.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, STDIN = -1, SLICES = 600, CHUNK = 1 << 18 };
static const long long SLICE = 100000000LL, CALM = 1500000LL;

struct client {
  struct stream stream;
  int up, busy, head_done, chunked, last;
  long long due, left, sent;
};

static struct client *clients, **idle; /* a ring: who has rested longest comes next, so that no server closes it for that */
static int count, ready, free_clients, longest, epoll_fd, port;
static char request[512], filler[CHUNK];
static long long request_size, body_size, due, interval, end, began, bytes, answered, slices[SLICES];
static int sending;
static struct histogram times;

static void tell(void) { fprintf(stderr, "; %d of %d connected, %lld answered", ready, count, answered); }

static void events_of(struct client *c, int how, unsigned events) {
  struct epoll_event event = {.events = events, .data.u64 = c - clients};
  need(!epoll_ctl(epoll_fd, how, c->stream.fd, &event), "epoll_ctl");
}

/* Send what goes; the rest when the connection takes more. */
static void push(struct client *c) {
  while (c->sent < request_size + body_size) {
    int in_head = c->sent < request_size;
    const char *from = in_head ? request + c->sent : filler;
    long long left = in_head ? request_size - c->sent : request_size + body_size - c->sent;
    ssize_t went = send(c->stream.fd, from, left > CHUNK ? CHUNK : left, MSG_NOSIGNAL);
    if (went < 0 && errno == EAGAIN) {
      events_of(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      return;
    }
    if (went <= 0) fail("could not send: %s", strerror(errno));
    c->sent += went;
  }
}

static void ask(struct client *c, long long when) {
  c->busy = 1;
  c->due = when;
  c->sent = c->head_done = c->chunked = c->last = c->left = 0;
  push(c);
}

static void rest(struct client *c) { idle[(longest + free_clients++) % count] = c; }

static struct client *take(void) {
  struct client *c = idle[longest];
  longest = (longest + 1) % count;
  free_clients--;
  return c;
}

static void finish(struct client *c) {
  long long at = progress = now();
  record(&times, at - c->due);
  c->busy = 0;
  if (at <= end) {
    answered++;
    long long slice = (at - began) / SLICE;
    if (slice < SLICES) slices[slice]++;
  }
  if (sending && !interval) ask(c, at);
  else rest(c);
}

static long long content_length(const unsigned char *head, unsigned size, int *chunked) {
  char text[8192];
  unsigned n = size < sizeof text - 1 ? size : sizeof text - 1;
  memcpy(text, head, n);
  text[n] = 0;
  if (memcmp(text, "HTTP/1.1 20", 11)) fail("got: %.60s", text);
  const char *length = strcasestr(text, "\r\ncontent-length:");
  *chunked = strcasestr(text, "\r\ntransfer-encoding: chunked") != NULL;
  if (!length && !*chunked) fail("got an answer without a length");
  return length ? atoll(length + 17) : 0;
}

/* One step through an answer; returns how many bytes it used, 0 when it needs more. */
static unsigned step(struct client *c, const unsigned char *data, unsigned size) {
  const unsigned char *found;
  if (c->left) {
    unsigned n = c->left < size ? c->left : size;
    c->left -= n;
    bytes += n;
    if (!c->left && (!c->chunked || c->last)) finish(c);
    return n;
  }
  if (!c->head_done) {
    if (!(found = memmem(data, size, "\r\n\r\n", 4))) return 0;
    c->left = content_length(data, found + 4 - data, &c->chunked);
    c->head_done = 1;
    if (!c->left && !c->chunked) finish(c);
    return found + 4 - data;
  }
  if (!(found = memmem(data, size, "\r\n", 2))) return 0;
  long long chunk = strtoll((const char *)data, NULL, 16);
  c->last = !chunk;
  c->left = chunk + 2;
  return found + 2 - data;
}

static void on_readable(struct client *c) {
  static unsigned char buffer[BUFFER];
  unsigned size = receive(&c->stream, buffer), at = 0, used;
  if (size && !c->busy) fail("got what was not asked for: %.*s", size < 60 ? (int)size : 60, buffer);
  while (at < size && (used = step(c, buffer + at, size - at))) at += used;
  if (size) keep(&c->stream, buffer + at, size - at);
}

static void on_up(struct client *c) {
  connected(&c->stream);
  c->up = 1;
  ready++;
  progress = now();
  rest(c);
  events_of(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* Whatever is ready; tells whether stdin is. */
static int turn(int milliseconds) {
  struct epoll_event events[EVENTS];
  int asked = 0, n = epoll_wait(epoll_fd, events, EVENTS, milliseconds);
  need(n >= 0 || errno == EINTR, "epoll_wait");
  for (int i = 0; i < n; i++) {
    if ((long long)events[i].data.u64 == STDIN) { asked = 1; continue; }
    struct client *c = &clients[events[i].data.u64];
    if (!c->up) { on_up(c); continue; }
    if (events[i].events & EPOLLOUT) {
      events_of(c, EPOLL_CTL_MOD, EPOLLIN);
      push(c);
    }
    if (events[i].events & ~EPOLLOUT) on_readable(c);
  }
  if (now() - progress > STALL && ready) fail("nobody got any further for %lld seconds", STALL / SECOND);
  return asked;
}

static void send_due(void) {
  while (free_clients && due <= now() && due < end) {
    ask(take(), due);
    due += interval;
  }
}

/* With nothing due soon it sleeps, else it looks without sleeping: the schedule is finer than a millisecond. Who shares its core (a stand-in for a
 * database) need not wait for that. */
static void open_loop(void) {
  while (now() < end) {
    send_due();
    long long wait = free_clients ? due - now() : SECOND;
    if (wait <= CALM) sched_yield();
    turn(wait > CALM ? (int)((wait - CALM / 2) / 1000000) : 0);
  }
}

static void closed_loop(void) {
  while (free_clients) ask(take(), now());
  while (now() < end) turn(100);
}

static long long missed(void) {
  long long many = 0;
  for (; interval && due < end; due += interval, many++) record(&times, end - due);
  return many;
}

static void report(long long left) {
  double seconds = (end - began) / 1e9;
  printf("{\"requests\": %lld, \"per_s\": %.1f, \"missed\": %lld, \"bytes\": %lld, ", answered, answered / seconds, left, bytes);
  print_percentiles(&times);
  printf(", \"slices\": [");
  for (int i = 0; i < SLICES && i * SLICE < end - began; i++) printf("%s%lld", i ? ", " : "", slices[i]);
  printf("]}\n");
}

static void run(double rate, double seconds, const char *method, const char *path) {
  request_size = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n", method, path, port);
  if (body_size)
    request_size += snprintf(request + request_size, sizeof request - request_size,
      "Content-Type: application/octet-stream\r\nContent-Length: %lld\r\n", body_size);
  request_size += snprintf(request + request_size, sizeof request - request_size, "\r\n");
  clear(&times);
  memset(slices, 0, sizeof slices);
  answered = bytes = 0;
  due = began = progress = now();
  end = began + seconds * 1e9;
  interval = rate > 0 ? 1e9 / rate : 0;
  sending = 1;
  if (interval) open_loop();
  else closed_loop();
  sending = 0;
  long long left = missed();
  while (free_clients < count) turn(100);
  report(left);
}

int main(int argc, char **argv) {
  char line[512], method[16], path[256];
  double rate, seconds;
  if (argc != 3 || (port = atoi(argv[1])) <= 0 || (count = atoi(argv[2])) <= 0) {
    fprintf(stderr, "usage: http PORT CLIENTS\n");
    return 2;
  }
  describe = tell;
  setvbuf(stdout, NULL, _IOLBF, 0);
  raise_file_limit();
  need((epoll_fd = epoll_create1(0)) >= 0, "epoll_create1");
  need((clients = calloc(count, sizeof *clients)) && (idle = calloc(count, sizeof *idle)), "memory");
  progress = now();
  for (int i = 0; i < count; i++) {
    open_stream(&clients[i].stream, i, port);
    events_of(&clients[i], EPOLL_CTL_ADD, EPOLLOUT);
  }
  while (ready < count) turn(100);
  printf("{\"clients\": %d}\n", count);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = STDIN};
  need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event), "stdin must be a pipe or a terminal");
  for (;;) {
    progress = now();
    if (!turn(1000)) continue;
    ssize_t got = read(STDIN_FILENO, line, sizeof line - 1);
    if (got <= 0) return 0;
    line[got] = 0;
    if (sscanf(line, "%lf %lf %15s %255s %lld", &rate, &seconds, method, path, &body_size) != 5) fail("cannot read: %s", line);
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    run(rate, seconds, method, path);
    need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event), "epoll_ctl");
  }
}
