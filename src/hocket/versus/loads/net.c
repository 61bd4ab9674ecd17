#define _GNU_SOURCE
#include "net.h"
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

/* Clients come from 127.0.0.1, .2, ...: an address has 28,000 ports, and where many are in use the kernel looks for long. */
enum { PER_ADDRESS = 5000 };

static const unsigned long long BELL = 1ULL << 63;

long long progress;
jmp_buf *rescue;
void (*describe)(void);
static int epoll_fd = -1;

long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

void fail(const char *why, ...) {
  static int said;
  va_list rest;
  if (rescue && said++) longjmp(*rescue, 1);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  va_start(rest, why);
  vfprintf(stderr, why, rest);
  va_end(rest);
  if (describe) describe();
  fprintf(stderr, "\n");
  if (rescue) longjmp(*rescue, 1);
  exit(1);
}

void need(int ok, const char *what) {
  if (!ok) fail("%s: %s", what, strerror(errno));
}

void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

void open_stream(struct stream *s, int number, int port) {
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)}, source = {.sin_family = AF_INET};
  int on = 1;
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / PER_ADDRESS);
  need((s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0, "socket");
  setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  need(!bind(s->fd, (void *)&source, sizeof source), "bind");
  need(!connect(s->fd, (void *)&server, sizeof server) || errno == EINPROGRESS, "connect");
}

void connected(const struct stream *s) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error) fail("could not connect: %s", strerror(error));
}

void send_all(const struct stream *s, const void *bytes, size_t size) {
  if (send(s->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) fail("could not send: %s", strerror(errno));
}

unsigned receive(struct stream *s, unsigned char *buffer) {
  if (s->have) memcpy(buffer, s->part, s->have);
  ssize_t got = recv(s->fd, buffer + s->have, BUFFER - s->have, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) fail("lost a connection: %s", got ? strerror(errno) : "closed by the server");
  return s->have + got;
}

int ended(const struct stream *s) {
  char byte;
  if (recv(s->fd, &byte, 1, MSG_PEEK) > 0) return 0;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
  return 1;
}

void keep(struct stream *s, const unsigned char *rest, unsigned size) {
  if (!s->have && !size) return;
  s->have = size;
  if (size) need((s->part = realloc(s->part, size)) != NULL, "memory");
  else free(s->part), s->part = NULL;
  if (size) memcpy(s->part, rest, size);
}

static int events_fd(void) {
  if (epoll_fd < 0) need((epoll_fd = epoll_create1(0)) >= 0, "epoll_create1");
  return epoll_fd;
}

void watch(const struct stream *s, int how, unsigned events, long long number) {
  struct epoll_event event = {.events = events, .data.u64 = number};
  need(!epoll_ctl(events_fd(), how, s->fd, &event), "epoll_ctl");
}

void watch_stdin(long long number) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = number};
  need(!epoll_ctl(events_fd(), EPOLL_CTL_ADD, STDIN_FILENO, &event), "stdin must be a pipe or a terminal");
}

void watch_bell(int eventfd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = BELL};
  need(!epoll_ctl(events_fd(), EPOLL_CTL_ADD, eventfd, &event), "eventfd");
}

void forget_stdin(void) { epoll_ctl(events_fd(), EPOLL_CTL_DEL, STDIN_FILENO, NULL); }

int wait_events(long long *numbers, int most, long long nanoseconds) {
  struct epoll_event events[512];
  int n = epoll_wait(events_fd(), events, most < 512 ? most : 512, nanoseconds < 0 ? -1 : (int)(nanoseconds / 1000000) + 1);
  need(n >= 0 || errno == EINTR, "epoll_wait");
  int found = 0;
  for (int i = 0; i < n; i++)
    if (events[i].data.u64 != BELL) numbers[found++] = events[i].data.u64;
  return found;
}

int ascending(const void *a, const void *b) {
  long long x = *(const long long *)a, y = *(const long long *)b;
  return (x > y) - (x < y);
}
