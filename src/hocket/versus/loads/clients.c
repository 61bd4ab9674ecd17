#define _GNU_SOURCE
#include "clients.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IN_FLIGHT = 200, QUEUE = 4000 /* a listening socket lets 4,096 wait */, FILES = 1, EVENTS = 512, STDIN = -1 };
#define CHAT "{\"room\":\"general\",\"user\":\"ada\",\"text\":\"hello there, how are you?\"}"

struct client *clients;
const struct kind *kind;
int port;
static int made, ready, browser, storm, moment;
static struct tally *all_ready; /* refused ones too */
static atomic_int *refused;

static void unexpected(const unsigned char *text, unsigned size) {
  fail("a client got what it did not expect: %.*s", (int)(size < 200 ? size : 200), text);
}

static void is_ready(struct client *c) {
  c->state = READY;
  ready++;
  progress = now();
  count_up(all_ready);
}

/* --- The kinds of clients --- */

static int starts(const unsigned char *text, unsigned size, const char *with) {
  return size >= strlen(with) && !memcmp(text, with, strlen(with));
}

static void raw_text(void *client, const unsigned char *text, unsigned size) { on_message(client, text, size); }

static void socketio_text(void *client, const unsigned char *text, unsigned size) {
  struct client *c = client;
  char packet[64];
  if (c->state == READY && starts(text, size, "42")) on_message(c, text, size);
  else if (size == 1 && text[0] == '2') say(&c->stream, "3");
  else if (c->state == OPENING && starts(text, size, "0")) {
    snprintf(packet, sizeof packet, "40{\"user\":\"user-%d\"}", first + (int)(c - clients));
    say(&c->stream, packet);
    c->state = JOINING;
  } else if (c->state == JOINING && starts(text, size, "40")) is_ready(c);
  else unexpected(text, size);
}

/* Several replies may come in one frame; a command that is answered with an error is told apart. */
static void centrifuge_text(void *client, const unsigned char *text, unsigned size) {
  struct client *c = client;
  if (memmem(text, size, "\"error\"", 7)) unexpected(text, size);
  if (c->state == READY && memmem(text, size, "\"push\"", 6)) on_message(c, text, size);
  else if (starts(text, size, "{}")) say(&c->stream, "{}");
  else if (c->state == JOINING && memmem(text, size, "\"connect\"", 9)) is_ready(c);
}

/* An event without a line of data is a comment. */
static void sse_text(void *client, const unsigned char *text, unsigned size) {
  if (memmem(text, size, "data:", 5)) on_message(client, text, size);
}

static const struct kind KINDS[] = {
  {"raw", "/?user=user-%d", "go", "large", "room", CHAT, raw_text},
  {"socketio", "/socket.io/?EIO=4&transport=websocket", "42[\"go\",\"go\"]", "42[\"go\",\"large\"]", "42[\"room\",\"room\"]", "42[\"echo\"," CHAT "]", socketio_text},
  {"centrifuge", "/connection/websocket", "{\"id\":2,\"rpc\":{\"method\":\"go\",\"data\":{}}}", NULL, NULL, NULL, centrifuge_text},
  {"sse", "/events?user=user-%d", NULL, NULL, NULL, NULL, sse_text},
};
static const struct kind *const SSE = &KINDS[3];

/* --- One client --- */

static void ask(struct client *c) {
  char request[256], path[64];
  connected(&c->stream);
  snprintf(path, sizeof path, kind->path, first + (int)(c - clients));
  if (kind == SSE) {
    int size = snprintf(request, sizeof request,
      "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n", path, port);
    send_all(&c->stream, request, size);
  } else send_upgrade(&c->stream, path, port, browser);
  c->state = UPGRADING;
  watch(&c->stream, EPOLL_CTL_MOD, EPOLLIN, c - clients);
}

/* The answer to the first request, once it is whole; returns its length or 0. */
static unsigned on_answer(struct client *c, const unsigned char *data, unsigned size) {
  unsigned length = kind == SSE ? http_head(data, size, "200") : upgrade_answer(data, size);
  if (!length) return 0;
  c->state = OPENING;
  if (kind == SSE || kind == &KINDS[0]) is_ready(c);
  if (!strcmp(kind->name, "centrifuge")) say(&c->stream, "{\"id\":1,\"connect\":{}}"), c->state = JOINING;
  return length;
}

/* Events end with an empty line. The framing of chunks may stand between them and disturbs nobody there. */
static unsigned read_events(struct client *c, const unsigned char *data, unsigned size) {
  const unsigned char *at = data, *end;
  while ((end = memmem(at, data + size - at, "\n\n", 2))) {
    kind->on_text(c, at, end - at);
    at = end + 2;
  }
  if (data + size - at == 2 && !memcmp(at, "\r\n", 2)) at += 2;
  return at - data;
}

static void on_readable(struct client *c) {
  static unsigned char buffer[BUFFER];
  unsigned at = 0, size = receive(&c->stream, buffer);
  if (!size) return;
  if (c->state == UPGRADING) at = on_answer(c, buffer, size);
  if (c->state != UPGRADING)
    at += kind == SSE ? read_events(c, buffer + at, size - at) : read_frames(&c->stream, buffer + at, size - at, kind->on_text, c);
  keep(&c->stream, buffer + at, size - at);
}

/* --- All of them --- */

static void refuse(struct client *c) {
  atomic_fetch_add(refused, 1); /* before the leader may hear that all are ready */
  if (c->state != READY) is_ready(c);
  c->state = REFUSED;
  close(c->stream.fd);
}

static void on_event(struct client *c) {
  static jmp_buf here;
  if (storm && setjmp(here)) {
    rescue = NULL;
    refuse(c);
    return;
  }
  if (storm) rescue = &here;
  if (c->state == CONNECTING) ask(c);
  else if (c->state != REFUSED) on_readable(c);
  rescue = NULL;
}

int turn(long long wait) {
  long long numbers[EVENTS];
  int asked = 0, n = wait_events(numbers, EVENTS, wait);
  for (int i = 0; i < n; i++)
    if (numbers[i] == STDIN) asked = 1;
    else on_event(&clients[numbers[i]]);
  return asked;
}

void turn_or_stall(void) {
  long long left = progress + STALL - now();
  if (left <= 0) fail("nobody got any further for %lld seconds", STALL / SECOND);
  turn(left);
}

static void start(void) {
  open_stream(&clients[made].stream, first + made, port);
  watch(&clients[made].stream, EPOLL_CTL_ADD, EPOLLOUT, made);
  made++;
}

/* Whoever is ready makes room for the next. */
static void start_some(void) {
  int at_once = moment ? count : (storm ? QUEUE / FILES : IN_FLIGHT) / processes;
  while (made < count && made - ready < at_once) start();
  turn_or_stall();
}

static void tell(void) { fprintf(stderr, "; %d of %d clients ready", ready, count); }

void connect_all(int together) {
  raise_file_limit();
  all_ready = shared(sizeof *all_ready);
  all_ready->goal = total;
  refused = shared(sizeof *refused);
  long long began = progress = now();
  part(FILES, together);
  describe = tell;
  need((clients = calloc(count, sizeof *clients)) != NULL, "memory");
  while (ready < count) start_some();
  if (leads) {
    await(all_ready, turn_or_stall);
    double took = (now() - began) / 1e9;
    printf("{\"clients\": %d, \"connect_s\": %.4f, \"connects_per_s\": %.0f, \"load_processes\": %d, \"refused\": %d}\n", total, took,
      total / took, processes, *refused);
  }
  watch_stdin(STDIN);
}

void clients_arguments(int argc, char **argv) {
  port = argc > 3 ? atoi(argv[1]) : 0;
  total = argc > 3 ? atoi(argv[2]) : 0;
  for (int i = 4; i < argc; i++) {
    browser |= !strcmp(argv[i], "browser");
    moment |= !strcmp(argv[i], "moment");
    storm |= moment || !strcmp(argv[i], "storm");
  }
  for (unsigned i = 0; argc > 3 && i < sizeof KINDS / sizeof *KINDS; i++)
    if (!strcmp(argv[3], KINDS[i].name)) kind = &KINDS[i];
  if (port <= 0 || total <= 0 || !kind) {
    fprintf(stderr, "usage: %s PORT CLIENTS raw|socketio|centrifuge|sse [browser] [storm|moment]\n", argv[0]);
    exit(2);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
}
