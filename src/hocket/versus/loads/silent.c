/* Clients that join and never read again. What comes for them fills buffers, until the server does something about it.
 *
 *   silent PORT CLIENTS raw|socketio
 *
 * It connects all clients and prints one line of JSON. Then every line on stdin prints how many the server has closed. It
 * ends with stdin.
 */
#define _GNU_SOURCE
#include "clients.h"
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/poll.h>
#include <unistd.h>

void on_message(struct client *c, const unsigned char *text, unsigned size) { (void)c, (void)text, (void)size; }

/* The server's FIN finds no room behind unread data, but its reset does. */
static int is_closed(const struct client *c) {
  struct pollfd one = {.fd = c->stream.fd, .events = POLLRDHUP};
  return poll(&one, 1, 0) > 0 && one.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

int main(int argc, char **argv) {
  char asked[64];
  clients_arguments(argc, argv);
  connect_all(total);
  for (int i = 0; i < count; i++) watch(&clients[i].stream, EPOLL_CTL_MOD, 0, i);
  while (read(STDIN_FILENO, asked, sizeof asked) > 0) {
    int closed = 0;
    for (int i = 0; i < count; i++) closed += is_closed(&clients[i]);
    printf("{\"closed\": %d}\n", closed);
  }
  return 0;
}
