/* What services stand on: a database and another service, both of which take their time.
 *
 *   backend PORT
 *
 * One port for both. Who speaks Redis' protocol (RESP2) gets a user of 60 bytes for a GET after 1 ms, whatever else is
 * asked at once. Who speaks HTTP gets {"ok":true} at once, and for a path that starts with /wait after 5 ms; bodies with a
 * Content-Length are read and thrown away. A request of /count is counted, and
 * /counted tells how many there were.
 */
#define _GNU_SOURCE
#include "net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES = 65536, EVENTS = 512, WAITING = 1 << 17 };
static const long long DATABASE = 1000000LL, SERVICE = 5000000LL;
static const char USER[] = "$58\r\n{\"id\": 1234567, \"name\": \"Ada Lovelace\", \"locale\": \"en_GB\"}\r\n";

enum asks { ANY, WAIT, COUNT, COUNTED };

struct peer {
  struct stream stream;
  long long body;
  unsigned generation;
  enum asks asks;
};

struct waiting {
  long long due;
  unsigned fd, generation;
};

struct queue {
  long long delay;
  const char *answer;
  size_t size;
  unsigned head, tail;
  struct waiting waiting[WAITING];
};

static struct peer peers[FILES];
static struct queue database = {.delay = DATABASE, .answer = USER, .size = sizeof USER - 1}, service = {.delay = SERVICE};
static char ok[128];
static int epoll_fd;
static long long counted;

static void answer(unsigned fd, const char *text, size_t size) {
  if (send(fd, text, size, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) need(0, "send");
}

static void later(struct queue *q, unsigned fd) {
  if (q->tail - q->head == WAITING) fail("too many wait");
  q->waiting[q->tail++ % WAITING] = (struct waiting){now() + q->delay, fd, peers[fd].generation};
}

/* Answer who has waited long enough; returns the milliseconds until the next one. */
static void serve(struct queue *q, long long at) {
  for (; q->head != q->tail && q->waiting[q->head % WAITING].due <= at; q->head++) {
    struct waiting *w = &q->waiting[q->head % WAITING];
    if (peers[w->fd].generation == w->generation) answer(w->fd, q->answer, q->size);
  }
}

static long long next_due(void) {
  long long first = -1;
  struct queue *queues[] = {&database, &service};
  for (int i = 0; i < 2; i++)
    if (queues[i]->head != queues[i]->tail) {
      long long due = queues[i]->waiting[queues[i]->head % WAITING].due;
      if (first < 0 || due < first) first = due;
    }
  return first;
}

/* One command of RESP, an array of bulk strings; returns its length or 0. */
static unsigned redis(unsigned fd, const unsigned char *data, unsigned size) {
  const unsigned char *at = data, *end = data + size, *line;
  char name[16] = "";
  if (!(line = memmem(at, end - at, "\r\n", 2))) return 0;
  int words = atoi((const char *)at + 1);
  at = line + 2;
  for (int i = 0; i < words; i++) {
    if (!(line = memmem(at, end - at, "\r\n", 2))) return 0;
    int length = atoi((const char *)at + 1);
    at = line + 2;
    if (length < 0 || end - at < length + 2) return 0;
    if (!i) snprintf(name, sizeof name, "%.*s", length, at);
    at += length + 2;
  }
  if (!strcasecmp(name, "GET")) later(&database, fd);
  else if (!strcasecmp(name, "HELLO")) answer(fd, "-ERR unknown command\r\n", 22);
  else if (!strcasecmp(name, "INFO")) answer(fd, "$19\r\nredis_version:7.0.0\r\n", 26);
  else answer(fd, "+OK\r\n", 5);
  return at - data;
}

static void answer_count(unsigned fd) {
  char body[32], text[256];
  int digits = snprintf(body, sizeof body, "%lld", counted);
  answer(fd, text, snprintf(text, sizeof text,
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", digits, body));
  counted = 0;
}

static void answer_http(unsigned fd) {
  switch (peers[fd].asks) {
  case WAIT: later(&service, fd); break;
  case COUNTED: answer_count(fd); break;
  case COUNT: counted++; /* fall through */
  default: answer(fd, ok, strlen(ok));
  }
}

/* The head of a request; the answer follows its body. */
static unsigned http(unsigned fd, const unsigned char *data, unsigned size) {
  char head[4096];
  const unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
  if (!end) return 0;
  unsigned length = end + 4 - data, n = length < sizeof head - 1 ? length : sizeof head - 1;
  memcpy(head, data, n);
  head[n] = 0;
  const char *body_length = strcasestr(head, "\r\ncontent-length:"), *path = strchr(head, ' ');
  if (!path) fail("got what is no request: %.60s", head);
  path++;
  peers[fd].body = body_length ? atoll(body_length + 17) : 0;
  peers[fd].asks = !strncmp(path, "/counted ", 9) ? COUNTED : !strncmp(path, "/count ", 7) ? COUNT : !strncmp(path, "/wait", 5) ? WAIT : ANY;
  if (!peers[fd].body) answer_http(fd);
  return length;
}

static unsigned step(unsigned fd, const unsigned char *data, unsigned size) {
  struct peer *p = &peers[fd];
  if (!p->body) return *data == '*' ? redis(fd, data, size) : http(fd, data, size);
  unsigned n = p->body < size ? p->body : size;
  p->body -= n;
  if (!p->body) answer_http(fd);
  return n;
}

static void gone(unsigned fd) {
  keep(&peers[fd].stream, NULL, 0);
  peers[fd].generation++;
  peers[fd].body = 0;
  close(fd);
}

static void on_readable(unsigned fd) {
  static unsigned char buffer[BUFFER];
  struct stream *s = &peers[fd].stream;
  unsigned at = 0, size, used;
  if (s->have) memcpy(buffer, s->part, s->have);
  ssize_t got = recv(fd, buffer + s->have, BUFFER - s->have, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) { gone(fd); return; }
  size = s->have + got;
  while (at < size && (used = step(fd, buffer + at, size - at))) at += used;
  keep(s, buffer + at, size - at);
}

static void welcome(int listener) {
  int fd, on = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = fd};
    if (fd >= FILES) fail("too many connections");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peers[fd].stream = (struct stream){.fd = fd};
    need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  need(!bind(listener, (void *)&address, sizeof address) && !listen(listener, 4096), "listen");
  getsockname(listener, (void *)&address, &length);
  printf("backend serves http://127.0.0.1:%d\n", ntohs(address.sin_port));
  return listener;
}

int main(int argc, char **argv) {
  struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
  setvbuf(stdout, NULL, _IOLBF, 0);
  raise_file_limit();
  snprintf(ok, sizeof ok, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}");
  service.answer = ok;
  service.size = strlen(ok);
  need((epoll_fd = epoll_create1(0)) >= 0, "epoll_create1");
  int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
  event.data.u32 = listener;
  need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  for (;;) {
    long long due = next_due(), at = now();
    int n = epoll_wait(epoll_fd, events, EVENTS, due < 0 ? -1 : due <= at ? 0 : (int)((due - at) / 1000000) + 1);
    need(n >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < n; i++) {
      if ((int)events[i].data.u32 == listener) welcome(listener);
      else on_readable(events[i].data.u32);
    }
    at = now();
    serve(&database, at);
    serve(&service, at);
  }
}
