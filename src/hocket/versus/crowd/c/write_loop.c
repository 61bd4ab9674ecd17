/* The limit: accept, a WebSocket handshake, and on any message one frame to every client with a bare write(2).
 *
 * Nothing is parsed, nothing is kept for a slow client, nobody leaves: no server that does its job can spend less.
 * It ends when the first client does.
 *
 *   write_loop PORT [--processes N]
 *
 * Of several processes one accepts its share, then the next. Each has a pipe, in which the others leave frames.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65536, PAYLOAD = 120, FRAME = 2 + PAYLOAD, PROCESSES = 64, SHARE = 18000 };
static const char ANSWER[] =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char YOUR_TURN[FRAME] = "accept";
static int members[MOST], count, listener, epoll_fd, processes = 1, self, pipes[PROCESSES][2];
static char upgraded[MOST];

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void send_to_all(const char *frame) {
  for (int i = 0; i < count; i++)
    if (write(members[i], frame, FRAME) != FRAME) perror("write_loop: write");
}

static void broadcast(void) {
  char frame[FRAME + 1] = {(char)0x81, PAYLOAD};
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  int size = snprintf(frame + 2, PAYLOAD + 1, "@@%lld@@", t.tv_sec * 1000000000LL + t.tv_nsec);
  memset(frame + 2 + size, 'x', PAYLOAD - size);
  for (int i = 0; i < processes; i++)
    if (i != self && write(pipes[i][1], frame, FRAME) != FRAME) perror("write_loop: pipe");
  send_to_all(frame);
}

static void from_others(void) {
  char frame[FRAME];
  if (read(pipes[self][0], frame, FRAME) != FRAME) exit(1);
  if (frame[0] == YOUR_TURN[0]) watch(listener);
  else send_to_all(frame);
}

static void accept_all(void) {
  int fd, last = self == processes - 1;
  while ((last || count < SHARE) && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MOST) exit(1);
    watch(fd);
    upgraded[fd] = 0;
    members[count++] = fd;
  }
  if (last || count < SHARE) return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL);
  if (write(pipes[self + 1][1], YOUR_TURN, FRAME) != FRAME) exit(1);
}

static void listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  socklen_t length = sizeof address;
  int on = 1;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) perror("write_loop: bind"), exit(1);
  getsockname(listener, (void *)&address, &length);
  printf("write_loop serves http://127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
}

static void start_others(void) {
  for (int i = 0; i < processes; i++)
    if (pipe(pipes[i])) exit(1);
  for (int i = 1; i < processes && !self; i++)
    if (!fork()) self = i, prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int main(int argc, char **argv) {
  static char buffer[65536];
  struct epoll_event events[1024];
  if (argc > 3) processes = atoi(argv[3]);
  if (processes > PROCESSES) return 2;
  listen_on(argc > 1 ? atoi(argv[1]) : 0);
  start_others();
  epoll_fd = epoll_create1(0);
  watch(pipes[self][0]);
  if (!self) watch(listener);
  for (;;) {
    int n = epoll_wait(epoll_fd, events, 1024, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_all();
      else if (fd == pipes[self][0]) from_others();
      else if (read(fd, buffer, sizeof buffer) <= 0) return 0; /* the load has gone */
      else if (upgraded[fd]) broadcast();
      else upgraded[fd] = write(fd, ANSWER, sizeof ANSWER - 1) > 0;
    }
  }
}
