/* The limit: accept, a WebSocket handshake, and on any message one frame to every client with a bare write(2).
 *
 * Nothing is parsed, nothing is kept for a slow client, nobody leaves: no server that does its job can spend less.
 * It ends when the first client does.
 *
 *   write_loop PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65536, PAYLOAD = 120 };
static const char ANSWER[] =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static int members[MOST], count;
static char upgraded[MOST];

static void broadcast(void) {
  char frame[2 + PAYLOAD + 1] = {(char)0x81, PAYLOAD};
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  int size = snprintf(frame + 2, PAYLOAD + 1, "@@%lld@@", t.tv_sec * 1000000000LL + t.tv_nsec);
  memset(frame + 2 + size, 'x', PAYLOAD - size);
  for (int i = 0; i < count; i++)
    if (write(members[i], frame, 2 + PAYLOAD) != 2 + PAYLOAD) perror("write_loop: write");
}

static void accept_all(int listener, int epoll_fd) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MOST) exit(1);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    upgraded[fd] = 0;
    members[count++] = fd;
  }
}

int main(int argc, char **argv) {
  static char buffer[65536];
  struct epoll_event events[1024], event = {.events = EPOLLIN};
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
  socklen_t length = sizeof address;
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll_fd = epoll_create1(0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("write_loop: bind"), 1;
  getsockname(listener, (void *)&address, &length);
  printf("write_loop serves http://127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  event.data.fd = listener;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(epoll_fd, events, 1024, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_all(listener, epoll_fd);
      else if (read(fd, buffer, sizeof buffer) <= 0) return 0; /* the load has gone */
      else if (upgraded[fd]) broadcast();
      else upgraded[fd] = write(fd, ANSWER, sizeof ANSWER - 1) > 0;
    }
  }
}
