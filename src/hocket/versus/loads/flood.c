/* The load of more broadcasts than a server can write one by one: they come by the clock, and every client counts.
 *
 *   flood PORT CLIENTS raw|socketio
 *
 * It connects all clients and prints one line of JSON. Then a line on stdin says how many broadcasts a second the first
 * client asks for, and for how many seconds; what the server does not read yet waits, so they may be fewer. When all
 * clients have all of them, each as often as it was asked for, it prints another line. It ends with stdin.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <unistd.h>

enum { WAITING = 16384 }; /* bytes that may wait at the first client before it stops asking */
static long long delivered, lost_order;

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  const unsigned char *at = memmem(text, size, "@@", 2);
  if (!at) fail("got a message that is no broadcast: %.*s", (int)(size < 200 ? size : 200), text);
  long long stamp = atoll((const char *)at + 2);
  if (stamp <= c->asked) lost_order++;
  c->asked = stamp;
  c->round++;
  delivered++;
  progress = now();
}

static int has_room(void) {
  int waiting = 0;
  ioctl(clients[0].stream.fd, SIOCOUTQ, &waiting);
  return waiting < WAITING;
}

static int ask_by_clock(long long began, double per_second, int sent) {
  while (sent < (now() - began) / 1e9 * per_second && has_room()) say(&clients[0].stream, kind->go), sent++;
  return sent;
}

static void run(double per_second, double seconds) {
  long long began = progress = now(), end = began + seconds * 1e9, before = delivered;
  int sent = 0, already = clients[0].round;
  while (now() < end) {
    sent = ask_by_clock(began, per_second, sent);
    turn(SECOND / 1000);
  }
  long long in_time = delivered - before;
  while (delivered - before < (long long)sent * total) turn_or_stall();
  double took = (now() - began) / 1e9;
  for (int i = 0; i < count; i++)
    if (clients[i].round - already != sent) fail("client %d got %d of %d broadcasts", i, clients[i].round - already, sent);
  if (lost_order) fail("%lld broadcasts came out of their order", lost_order);
  printf("{\"asked\": %d, \"delivered\": %lld, \"in_time_per_s\": %.0f, \"delivered_per_s\": %.0f, \"took_s\": %.3f}\n", sent,
    delivered - before, in_time / seconds, (delivered - before) / took, took);
}

int main(int argc, char **argv) {
  char asked[64], *rest;
  clients_arguments(argc, argv);
  connect_all(total);
  for (;;) {
    if (!turn(-1)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked - 1);
    if (got <= 0) break;
    asked[got] = 0;
    double per_second = strtod(asked, &rest);
    run(per_second, atof(rest));
  }
  return 0;
}
