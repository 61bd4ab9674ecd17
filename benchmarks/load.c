/* The load generator: many WebSocket clients in one thread, and a clock that stops with the last of them.
 *
 *   load PORT CLIENTS raw|socketio
 *
 * It connects all clients to 127.0.0.1:PORT, at most IN_FLIGHT at a time, and prints one line of JSON. Then every line on
 * stdin is a round, and prints another: the first client sends "go", and each client must get that broadcast exactly once.
 * After the end of stdin it listens a little longer for broadcasts that nobody asked for, and exits with 0.
 *
 * Whatever else happens ends it with 1 and a line on stderr: a broadcast twice, late or out of its round; a connection
 * that is refused or ends; a frame that is fragmented or compressed; STALL seconds in which nobody got any further.
 *
 * A broadcast carries the server's monotonic clock as @@nanoseconds@@, the same for everyone: times are counted from there.
 * `raw` speaks bare WebSocket to write_loop.c; `socketio` opens an Engine.IO session and joins the main namespace with an
 * auth payload. Heartbeats and WebSocket pings are answered, between rounds too. Clients come from 127.0.0.1, .2, ... so
 * that no address runs out of ports.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT = 200, PER_ADDRESS = 20000, BUFFER = 65536, EVENTS = 512 };
enum { STDIN = -1 }; /* in place of a client's number */
static const long long SECOND = 1000000000LL, STALL = 20 * SECOND, LINGER = SECOND / 5;

enum state { CONNECTING, UPGRADING, OPENING, JOINING, READY };

struct client {
  int fd;
  enum state state;
  int round;           /* the last round whose broadcast it has */
  unsigned have;       /* bytes of an unfinished head or frame, kept in `part` */
  unsigned char *part;
};

static struct client *clients;
static int count, made, ready, epoll_fd, socketio;
static int round_now, in_round, received;
static unsigned payload;
static long long asked_at, sent_at, last_arrival, progress, *latencies;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static void fail(const struct client *c, const char *why, ...) {
  va_list rest;
  fprintf(stderr, "load: ");
  if (c) fprintf(stderr, "client %d ", (int)(c - clients));
  va_start(rest, why);
  vfprintf(stderr, why, rest);
  va_end(rest);
  fprintf(stderr, "; %d of %d clients ready", ready, count);
  if (round_now) fprintf(stderr, ", %d served in round %d", received, round_now);
  fprintf(stderr, "\n");
  exit(1);
}

static void need(int ok, const char *what) {
  if (!ok) fail(NULL, "%s: %s", what, strerror(errno));
}

/* --- What a client sends --- */

static void send_all(struct client *c, const void *bytes, size_t size) {
  if (send(c->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) fail(c, "could not send: %s", strerror(errno));
}

/* One frame under 126 bytes. Its mask is zero; that spares the server nothing, it has to unmask all the same. */
static void send_frame(struct client *c, int opcode, const void *text, size_t size) {
  unsigned char frame[6 + 125] = {0x80 | opcode, 0x80 | size};
  memcpy(frame + 6, text, size);
  send_all(c, frame, 6 + size);
}

static void say(struct client *c, const char *text) {
  send_frame(c, 1, text, strlen(text));
}

/* --- What a client hears --- */

static void is_ready(struct client *c) {
  c->state = READY;
  ready++;
  progress = now();
}

static void on_broadcast(struct client *c, long long stamp, unsigned size) {
  if (!in_round) fail(c, "got a broadcast that was not asked for");
  if (stamp < asked_at) fail(c, "got a broadcast of an earlier round");
  if (c->round == round_now) fail(c, "got a broadcast twice");
  if (received && stamp != sent_at) fail(c, "got another broadcast than the others");
  c->round = round_now;
  sent_at = stamp;
  payload = size;
  last_arrival = progress = now();
  latencies[received++] = last_arrival - stamp;
}

static void join(struct client *c) {
  char packet[64];
  snprintf(packet, sizeof packet, "40{\"user\":\"user-%d\"}", (int)(c - clients));
  say(c, packet);
  c->state = JOINING;
}

static void on_text(struct client *c, const unsigned char *text, unsigned size) {
  const unsigned char *stamp = memmem(text, size, "@@", 2);
  if (stamp && c->state == READY) on_broadcast(c, atoll((const char *)stamp + 2), size);
  else if (!socketio) fail(c, "got a frame that is no broadcast");
  else if (size == 1 && text[0] == '2') say(c, "3");
  else if (c->state == OPENING && size && text[0] == '0') join(c);
  else if (c->state == JOINING && size > 1 && !memcmp(text, "40", 2)) is_ready(c);
  else fail(c, "got what it did not expect: %.*s", (int)size, text);
}

static void on_frame(struct client *c, unsigned head, const unsigned char *data, unsigned size) {
  switch (head) {
  case 0x81: on_text(c, data, size); break;
  case 0x88: fail(c, "was closed by the server"); break;
  case 0x89: send_frame(c, 10, data, size < 126 ? size : 125); break;
  case 0x8a: break;
  default: fail(c, "got a frame that starts with 0x%02x: in parts, compressed or binary", head);
  }
}

/* Handle all whole frames; returns how many bytes they were. */
static unsigned on_frames(struct client *c, const unsigned char *data, unsigned size) {
  unsigned at = 0;
  while (size - at >= 2) {
    unsigned head = 2, length = data[at + 1];
    if (length > 126) fail(c, "got a masked frame or one over 64 KiB");
    if (length == 126) {
      if (size - at < 4) break;
      head = 4;
      length = data[at + 2] << 8 | data[at + 3];
    }
    if (head + length > BUFFER) fail(c, "got a frame that is too long");
    if (size - at < head + length) break;
    on_frame(c, data[at], data + at + head, length);
    at += head + length;
  }
  return at;
}

/* The answer to the upgrade, once it is whole; returns its length or 0. */
static unsigned on_answer(struct client *c, const unsigned char *data, unsigned size) {
  unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
  if (!end && size < BUFFER) return 0;
  if (!end || size < 12 || memcmp(data, "HTTP/1.1 101", 12)) fail(c, "was not upgraded: %.*s", size < 60 ? (int)size : 60, data);
  c->state = OPENING;
  if (!socketio) is_ready(c);
  return end + 4 - data;
}

static void keep(struct client *c, const unsigned char *rest, unsigned size) {
  c->have = size;
  if (size) need((c->part = realloc(c->part, size)) != NULL, "memory");
  else if (c->part) free(c->part), c->part = NULL;
  if (size) memcpy(c->part, rest, size);
}

static void on_readable(struct client *c) {
  static unsigned char buffer[BUFFER];
  unsigned size = c->have, at = 0;
  if (size) memcpy(buffer, c->part, size);
  ssize_t got = recv(c->fd, buffer + size, BUFFER - size, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) fail(c, "lost its connection: %s", got ? strerror(errno) : "closed by the server");
  size += got;
  if (c->state == UPGRADING) at = on_answer(c, buffer, size);
  if (c->state != UPGRADING) at += on_frames(c, buffer + at, size - at);
  if (c->have || at < size) keep(c, buffer + at, size - at);
}

/* --- Connecting --- */

static void watch(struct client *c, int how, unsigned events) {
  struct epoll_event event = {.events = events, .data.u64 = c - clients};
  need(!epoll_ctl(epoll_fd, how, c->fd, &event), "epoll_ctl");
}

static void start(int port) {
  struct client *c = &clients[made];
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)}, source = {.sin_family = AF_INET};
  int on = 1;
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + made / PER_ADDRESS);
  need((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0, "socket");
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  need(!bind(c->fd, (void *)&source, sizeof source), "bind");
  need(!connect(c->fd, (void *)&server, sizeof server) || errno == EINPROGRESS, "connect");
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
  made++;
}

static void on_connected(struct client *c, int port) {
  char request[512];
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error) fail(c, "could not connect: %s", strerror(error));
  int size = snprintf(request, sizeof request,
    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    socketio ? "/socket.io/?EIO=4&transport=websocket" : "/", port);
  send_all(c, request, size);
  c->state = UPGRADING;
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* --- The loop --- */

/* One turn of at most `wait` nanoseconds; tells whether stdin has something to say. */
static int turn(long long wait, int port) {
  struct epoll_event events[EVENTS];
  int asked = 0, n = epoll_wait(epoll_fd, events, EVENTS, wait < 0 ? -1 : (int)(wait / 1000000) + 1);
  need(n >= 0 || errno == EINTR, "epoll_wait");
  for (int i = 0; i < n; i++) {
    struct client *c = &clients[events[i].data.u64];
    if (events[i].data.u64 == (unsigned long long)STDIN) asked = 1;
    else if (c->state == CONNECTING) on_connected(c, port);
    else on_readable(c);
  }
  return asked;
}

static void turn_or_stall(int port) {
  long long left = progress + STALL - now();
  if (left <= 0) fail(NULL, "nobody got any further for %lld seconds", STALL / SECOND);
  turn(left, port);
}

static int ascending(const void *a, const void *b) {
  long long x = *(const long long *)a, y = *(const long long *)b;
  return (x > y) - (x < y);
}

static void connect_all(int port) {
  long long began = progress = now();
  while (ready < count) {
    while (made < count && made - ready < IN_FLIGHT) start(port);
    turn_or_stall(port);
  }
  double took = (now() - began) / 1e9;
  printf("{\"clients\": %d, \"connect_s\": %.4f, \"connects_per_s\": %.0f}\n", count, took, count / took);
}

static void broadcast(int port) {
  round_now++;
  received = 0;
  in_round = 1;
  asked_at = progress = now();
  say(&clients[0], socketio ? "42[\"go\",\"go\"]" : "go");
  while (received < count) turn_or_stall(port);
  in_round = 0;
  qsort(latencies, count, sizeof *latencies, ascending);
  printf("{\"last_ms\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"payload_bytes\": %u}\n", (last_arrival - sent_at) / 1e6,
    latencies[count / 2] / 1e6, latencies[count * 99LL / 100] / 1e6, payload);
}

/* Rounds as they are asked for. Between them only stdin is without a deadline. */
static void serve_stdin(int port) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (unsigned long long)STDIN};
  char asked[64];
  need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event), "stdin must be a pipe or a terminal");
  for (;;) {
    if (!turn(-1, port)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++)
      if (asked[i] == '\n') broadcast(port);
  }
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
  for (long long end = now() + LINGER, left; (left = end - now()) > 0;) turn(left, port);
}

int main(int argc, char **argv) {
  struct rlimit files;
  int port = argc == 4 ? atoi(argv[1]) : 0;
  count = argc == 4 ? atoi(argv[2]) : 0;
  if (port <= 0 || count <= 0 || (strcmp(argv[3], "raw") && strcmp(argv[3], "socketio"))) {
    fprintf(stderr, "usage: load PORT CLIENTS raw|socketio\n");
    return 2;
  }
  socketio = !strcmp(argv[3], "socketio");
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  setvbuf(stdout, NULL, _IOLBF, 0);
  need((clients = calloc(count, sizeof *clients)) && (latencies = calloc(count, sizeof *latencies)), "memory");
  need((epoll_fd = epoll_create1(0)) >= 0, "epoll_create1");
  connect_all(port);
  serve_stdin(port);
  return 0;
}
