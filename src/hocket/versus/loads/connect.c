/* The load of connecting the way the default socket.io client in a browser does.
 *
 *   connect PORT CLIENTS [storm]
 *
 * What each client does, in the order of engine.io-client: it opens by GET (connection 1). With the answer it has, at the
 * same time, to POST `40` (connection 1, kept alive), to open a WebSocket and send `2probe` on it (connection 2) and to
 * GET what comes (connection 3: the other one is busy). It polls again while it has no reason to stop. After `3probe` it
 * stops, waits until no request is under way, and sends `5`. It is ready when it has done that and has its `40`. Its HTTP
 * connections stay open, as a browser keeps them, if the server does.
 *
 * At most 200 clients are on their way at a time; in a storm with 4,000 connections.
 * It prints one line of JSON, and ends with stdin.
 */
#define _GNU_SOURCE
#include "crowd.h"
#include "net.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IN_FLIGHT = 200, QUEUE = 4000 /* a listening socket lets 4,096 wait */, EVENTS = 512, STDIN = -1, ROLES = 3 };
enum role { FIRST, PROBE, POLL };                     /* which of a client's connections; the number of an event tells */
enum probe { CLOSED, UPGRADING, PROBING, PAUSED, DONE };

struct client {
  struct stream streams[ROLES];
  char sid[40];
  int posting, polling, open[ROLES], joined, refused;
  enum probe probe;
  long long began;
};

static struct client *clients;
static int made, ready, port, storm;
static struct tally *all_ready; /* refused ones too */
static atomic_int *refused;
static long long *latencies; /* by the numbers of the clients */

static void tell(void) { fprintf(stderr, "; %d of %d clients ready", ready, count); }

static const char HEADERS[] =
  "Connection: keep-alive\r\n"
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
  "Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";

/* --- What a client asks for --- */

static void request(struct client *c, enum role role, const char *method, const char *body) {
  char text[1024], length[96] = "";
  if (*body) snprintf(length, sizeof length, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", strlen(body));
  int size = snprintf(text, sizeof text, "%s /socket.io/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n%s",
    method, *c->sid ? "&sid=" : "", c->sid, port, HEADERS, length, body);
  send_all(&c->streams[role], text, size);
}

static const char *joining(const struct client *c) {
  static char packet[64];
  snprintf(packet, sizeof packet, "40{\"user\":\"user-%d\"}", first + (int)(c - clients));
  return packet;
}

static void dial(struct client *c, enum role role) {
  open_stream(&c->streams[role], (first + (c - clients)) * ROLES + role, port);
  watch(&c->streams[role], EPOLL_CTL_ADD, EPOLLOUT, (c - clients) * ROLES + role);
}

/* What a client asks for next on one of its connections for HTTP. */
static void ask(struct client *c, enum role role) {
  if (!c->open[role]) dial(c, role);
  else if (role == FIRST && *c->sid) request(c, role, "POST", joining(c));
  else request(c, role, "GET", "");
}

static void poll_again(struct client *c) {
  c->polling = 1;
  ask(c, POLL);
}

static void on_open(struct client *c, enum role role) {
  char path[128];
  connected(&c->streams[role]);
  c->open[role] = 1;
  watch(&c->streams[role], EPOLL_CTL_MOD, EPOLLIN, (c - clients) * ROLES + role);
  if (role != PROBE) {
    ask(c, role);
    return;
  }
  snprintf(path, sizeof path, "/socket.io/?EIO=4&transport=websocket&sid=%s", c->sid);
  c->probe = UPGRADING;
  send_upgrade(&c->streams[PROBE], path, port, 1);
}

/* --- What it hears --- */

static void after_open(struct client *c, const char *body) {
  const char *sid = strstr(body, "\"sid\":\"");
  size_t length = sid ? strcspn(sid + 7, "\"") : 0;
  if (body[0] != '0' || !length || length >= sizeof c->sid) fail("got instead of an open packet: %.60s", body);
  memcpy(c->sid, sid + 7, length);
  c->posting = 1;
  ask(c, FIRST);
  dial(c, PROBE);
  poll_again(c);
}

/* One payload: packets with 0x1e between them. */
static void on_payload(struct client *c, char *body) {
  char *rest = body, *packet;
  while ((packet = strsep(&rest, "\x1e")))
    if (!strncmp(packet, "40", 2)) c->joined = 1;
    else if (strcmp(packet, "6") && strcmp(packet, "2")) fail("polled what it did not expect: %.60s", packet);
}

static void on_response(struct client *c, enum role role, char *body) {
  if (role == POLL) {
    c->polling = 0;
    on_payload(c, body);
    if (c->probe < PAUSED) poll_again(c);
  } else if (c->posting) c->posting = 0;
  else after_open(c, body);
}

static void on_text(void *who, const unsigned char *text, unsigned size) {
  struct client *c = who;
  if (size == 6 && !memcmp(text, "3probe", 6)) c->probe = PAUSED;
  else if (size > 1 && !memcmp(text, "40", 2)) c->joined = 1;
  else if (size == 1 && *text == '2') say(&c->streams[PROBE], "3");
  else if (size != 1 || *text != '6') fail("got over WebSocket what it did not expect: %.*s", (int)size, text);
}

static unsigned on_websocket(struct client *c, const unsigned char *data, unsigned size) {
  unsigned at = 0;
  if (c->probe == UPGRADING) {
    if (!(at = upgrade_answer(data, size))) return 0;
    c->probe = PROBING;
    say(&c->streams[PROBE], "2probe");
  }
  return at + read_frames(&c->streams[PROBE], data + at, size - at, on_text, c);
}

/* The chunks of a body put together; returns how long they were, or 0 while the last is missing. */
static unsigned read_chunks(const unsigned char *data, unsigned size, char *body, unsigned most) {
  unsigned at = 0, length = 0;
  for (;;) {
    const unsigned char *line = memmem(data + at, size - at, "\r\n", 2);
    unsigned chunk = line ? strtoul((const char *)data + at, NULL, 16) : 0;
    if (!line || line + 2 + chunk + 2 > data + size) return 0;
    if (length + chunk >= most) fail("got a body over %u bytes", most);
    memcpy(body + length, line + 2, chunk);
    length += chunk;
    body[length] = 0;
    at = line + 2 + chunk + 2 - data;
    if (!chunk) return at;
  }
}

static unsigned read_body(const unsigned char *data, unsigned size, unsigned length, char *body, unsigned most) {
  if (length >= most) fail("got a body of %u bytes", length);
  if (size < length) return 0;
  memcpy(body, data, length);
  body[length] = 0;
  return length;
}

/* A whole response; returns how long it is, or 0. */
static unsigned on_http(struct client *c, enum role role, const unsigned char *data, unsigned size) {
  char fields[2048], body[4096], *field;
  unsigned head = http_head(data, size, "200"), length;
  if (!head) return 0;
  if (head >= sizeof fields) fail("got a head of %u bytes", head);
  memcpy(fields, data, head);
  fields[head] = 0;
  if ((field = strcasestr(fields, "\r\nContent-Length:")))
    length = read_body(data + head, size - head, atoi(field + 17), body, sizeof body);
  else if (strcasestr(fields, "\r\nTransfer-Encoding: chunked")) length = read_chunks(data + head, size - head, body, sizeof body);
  else fail("got a response without a length");
  if (!length) return 0;
  if (strcasestr(fields, "\r\nConnection: close")) {
    close(c->streams[role].fd);
    c->open[role] = 0;
  }
  on_response(c, role, body);
  return head + length;
}

static void settle(struct client *c) {
  if (c->probe == PAUSED && !c->polling && !c->posting) {
    say(&c->streams[PROBE], "5");
    c->probe = DONE;
    progress = now();
  }
  if (c->probe == DONE && c->joined && c->began) {
    latencies[first + (c - clients)] = now() - c->began;
    c->began = 0;
    ready++;
    count_up(all_ready);
  }
}

static void on_role(struct client *c, enum role role) {
  static unsigned char buffer[BUFFER];
  unsigned at, size;
  if (!c->open[role]) {
    on_open(c, role);
    return;
  }
  if (c->probe == DONE && role != PROBE && ended(&c->streams[role])) return; /* the server closes an idle one */
  if (!(size = receive(&c->streams[role], buffer))) return;
  at = role == PROBE ? on_websocket(c, buffer, size) : on_http(c, role, buffer, size);
  keep(&c->streams[role], buffer + at, size - at);
  settle(c);
}

static void refuse(struct client *c) {
  atomic_fetch_add(refused, 1); /* before the leader may hear that all are ready */
  for (int role = 0; role < ROLES; role++)
    if (c->streams[role].fd > 0) close(c->streams[role].fd);
  if (c->began) ready++, count_up(all_ready);
  c->refused = 1;
}

static void on_event(long long number) {
  static jmp_buf here;
  struct client *c = &clients[number / ROLES];
  if (c->refused) return;
  if (storm && setjmp(here)) {
    rescue = NULL;
    refuse(&clients[number / ROLES]);
    return;
  }
  if (storm) rescue = &here;
  on_role(c, number % ROLES);
  rescue = NULL;
}

static int turn(long long wait) {
  long long numbers[EVENTS];
  int asked = 0, n = wait_events(numbers, EVENTS, wait);
  for (int i = 0; i < n; i++)
    if (numbers[i] == STDIN) asked = 1;
    else on_event(numbers[i]);
  return asked;
}

static void turn_or_stall(void) {
  if (progress + STALL < now()) fail("nobody got any further for %lld seconds", STALL / SECOND);
  turn(SECOND);
}

static void start_some(void) {
  int at_once = (storm ? QUEUE / ROLES : IN_FLIGHT) / processes;
  while (made < count && made - ready < at_once) {
    clients[made].began = now();
    dial(&clients[made++], FIRST);
  }
  turn_or_stall();
}

static void connect_all(void) {
  long long began = progress = now();
  part(ROLES, 1);
  need((clients = calloc(count, sizeof *clients)) != NULL, "memory");
  while (ready < count) start_some();
  if (!leads) return;
  await(all_ready, turn_or_stall);
  double took = (now() - began) / 1e9;
  qsort(latencies, total, sizeof *latencies, ascending);
  printf("{\"clients\": %d, \"connect_s\": %.4f, \"connects_per_s\": %.0f, \"ready_p50_ms\": %.2f, \"load_processes\": %d, \"refused\": %d}\n",
    total, took, total / took, latencies[total / 2] / 1e6, processes, *refused);
}

int main(int argc, char **argv) {
  char asked[64];
  port = argc >= 3 ? atoi(argv[1]) : 0;
  total = argc >= 3 ? atoi(argv[2]) : 0;
  storm = argc > 3 && !strcmp(argv[3], "storm");
  if (port <= 0 || total <= 0) {
    fprintf(stderr, "usage: connect PORT CLIENTS [storm]\n");
    return 2;
  }
  describe = tell;
  raise_file_limit();
  setvbuf(stdout, NULL, _IOLBF, 0);
  all_ready = shared(sizeof *all_ready);
  all_ready->goal = total;
  refused = shared(sizeof *refused);
  latencies = shared(total * sizeof *latencies);
  connect_all();
  watch_stdin(STDIN);
  while (!turn(-1) || read(STDIN_FILENO, asked, sizeof asked) > 0);
  dismiss();
  return ended_well();
}
