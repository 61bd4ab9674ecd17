/* The load of rooms: in each of them a message after the other, in all of them at once.
 *
 *   rooms PORT CLIENTS raw|socketio
 *
 * It connects all clients, of whom 50 after the other are in one room, and prints one line of JSON. Then every line on stdin
 * is a number of seconds to run for, and prints another. In each room a member sends "room"; when every member has got that
 * message exactly once, the next member sends. It ends with stdin.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMBERS = 50 };
static struct room { int number, got, members; } *rooms; /* the message under way, and how many have it */
static struct result {
  _Atomic long long delivered;
  long long end;
  struct tally finished; /* processes */
} *result;
static int under_way;

static void send_next(struct room *room) {
  struct client *members = &clients[(room - rooms) * MEMBERS];
  room->got = 0;
  under_way++;
  say(&members[room->number++ % room->members].stream, kind->room);
}

void on_message(struct client *c, const unsigned char *text, unsigned size) {
  struct room *room = &rooms[(c - clients) / MEMBERS];
  if (!memmem(text, size, "@@", 2)) fail("got what is no message of a room: %.*s", (int)(size < 200 ? size : 200), text);
  if (++c->round != room->number) fail("a member of a room got a message twice");
  progress = now();
  if (progress < result->end) result->delivered++;
  if (++room->got < room->members) return;
  under_way--;
  if (progress < result->end) send_next(room);
}

static void run(const char *asked) {
  if (leads) {
    result->delivered = result->finished.reached = 0;
    result->end = now() + atof(asked) * 1e9;
    pass_on(asked, strlen(asked));
  }
  long long began = progress = now();
  for (int i = 0; i * MEMBERS < count; i++) send_next(&rooms[i]);
  while (under_way) turn_or_stall();
  count_up(&result->finished);
  if (!leads) return;
  await(&result->finished, turn_or_stall);
  printf("{\"delivered\": %lld, \"delivered_per_s\": %.0f}\n", result->delivered, result->delivered * 1e9 / (result->end - began));
}

int main(int argc, char **argv) {
  char asked[64];
  clients_arguments(argc, argv);
  result = shared(sizeof *result);
  connect_all(MEMBERS);
  result->finished.goal = processes;
  need((rooms = calloc(count / MEMBERS + 1, sizeof *rooms)) != NULL, "memory");
  for (int i = 0; i * MEMBERS < count; i++) rooms[i].members = count - i * MEMBERS < MEMBERS ? count - i * MEMBERS : MEMBERS;
  for (;;) {
    if (!turn(-1)) continue;
    ssize_t got = read(STDIN_FILENO, asked, sizeof asked - 1);
    if (got <= 0) break;
    asked[got] = 0;
    run(asked);
  }
  dismiss();
  return ended_well();
}
