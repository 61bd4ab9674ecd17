/* The load of a chat: rooms whose members talk, visitors who come to rooms and leave them, and connections that come and go.
 *
 *   chat PORT CLIENTS ROOM_SIZE raw|socketio
 *
 * It connects all clients, each joins its room, and it prints one line of JSON. Then every line on stdin is
 *
 *   RATE SECONDS MOVES CHURN
 *
 * and prints another. RATE messages a second in all rooms together, on a schedule that nothing delays: the time of a delivery counts from when the message
 * was due. With rate 0 each room's next message follows when all members have the last one. MOVES a second: in turn a client joins the next room, and
 * one that did so before leaves it again. CHURN a second: a new connection comes, joins a room and one of its own, says something there, and goes when it
 * has heard that: it has arrived, and the time counts from when it was due, also when it was never made. Deliveries are counted for members in their own rooms, where each must come
 * once; who visits gets messages too, and they count for nothing.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "net.h"
#include "websocket.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 512, STDIN = -1, IN_FLIGHT = 200, PASSING = 512, SETTLE = 300, STAY = 20 };
enum state { FREE, CONNECTING, UPGRADING, OPENING, JOINING, READY };
static const long long CALM = 1500000LL, PATIENCE = 5000000000LL;

struct client {
  struct stream stream;
  enum state state;
  long long began;
};

struct kind {
  const char *name, *path, *join, *leave, *message;
};

/* Rooms as numbers; a message carries the time at which it was due and its room. */
static const struct kind KINDS[] = {
  {"raw", "/", "{\"event\":\"join\",\"room\":\"room-%d\"}", "{\"event\":\"leave\",\"room\":\"room-%d\"}",
   "{\"event\":\"message\",\"room\":\"room-%d\",\"text\":\"@@%lld@%d@@\"}"},
  {"socketio", "/socket.io/?EIO=4&transport=websocket", "42[\"join\",\"room-%d\"]", "42[\"leave\",\"room-%d\"]",
   "42[\"message\",{\"room\":\"room-%d\",\"text\":\"@@%lld@%d@@\"}]"},
};

static const struct kind *kind;
static struct client *clients;
static int count, room_size, rooms, ready, made, port, epoll_fd, closed_loop, running;
static int passing[PASSING], free_passing;
static int *got; /* of each room: who has the message under way */
static long long sent, delivered, in_time, moves, churned, end;
static struct histogram times, arrivals;

static void tell(void) { fprintf(stderr, "; %d of %d clients ready, %lld sent, %lld delivered", ready, count, sent, delivered); }

static int is_member(const struct client *c) { return c - clients < count; }
static int home(const struct client *c) { return (c - clients) / room_size; }
static int own(const struct client *c) { return rooms + (c - clients) - count; } /* of a newcomer: a room that nobody else is in */

static void events_of(struct client *c, int how, unsigned events) {
  struct epoll_event event = {.events = events, .data.u64 = c - clients};
  need(!epoll_ctl(epoll_fd, how, c->stream.fd, &event), "epoll_ctl");
}

static void say_room(struct client *c, const char *form, int room) {
  char text[126];
  snprintf(text, sizeof text, form, room);
  say(&c->stream, text);
}

static void talk(int room, long long due) {
  char text[126];
  struct client *speaker = &clients[room * room_size + sent / rooms % room_size];
  snprintf(text, sizeof text, kind->message, room, due, room);
  got[room] = 0;
  sent++;
  say(&speaker->stream, text);
}

static void leave(struct client *c) {
  send_frame(&c->stream, 8, "\x03\xe8", 2);
  keep(&c->stream, NULL, 0);
  close(c->stream.fd);
  c->state = FREE;
  passing[free_passing++] = c - clients;
  record(&arrivals, (progress = now()) - c->began);
  churned++;
}

/* A newcomer joins a room, and its own; what it hears there says that it has joined the other. */
static void arrive(struct client *c) {
  char text[126];
  say_room(c, kind->join, (c - clients) % rooms);
  say_room(c, kind->join, own(c));
  snprintf(text, sizeof text, kind->message, own(c), now(), own(c));
  say(&c->stream, text);
}

static void is_ready(struct client *c) {
  c->state = READY;
  if (!is_member(c)) { arrive(c); return; }
  say_room(c, kind->join, home(c));
  ready++;
  progress = now();
}

static void on_message(struct client *c, const unsigned char *text, unsigned size) {
  const unsigned char *stamp = memmem(text, size, "@@", 2);
  if (!stamp) return;
  char copy[48];
  long long due;
  int room;
  unsigned n = text + size - stamp;
  memcpy(copy, stamp, n < sizeof copy - 1 ? n : sizeof copy - 1);
  copy[n < sizeof copy - 1 ? n : sizeof copy - 1] = 0;
  if (sscanf(copy, "@@%lld@%d@@", &due, &room) != 2) fail("got: %.*s", (int)size, text);
  if (!is_member(c) && room == own(c)) leave(c);
  if (!is_member(c) || room != home(c)) return;
  long long at = progress = now();
  record(&times, at - due);
  delivered++;
  if (at <= end) in_time++;
  if (++got[room] == room_size && closed_loop && running && at < end) talk(room, at);
}

static int starts(const unsigned char *text, unsigned size, const char *with) {
  return size >= strlen(with) && !memcmp(text, with, strlen(with));
}

static void on_text(void *who, const unsigned char *text, unsigned size) {
  struct client *c = who;
  if (c->state == FREE) return;
  if (kind == &KINDS[0] || (c->state == READY && starts(text, size, "42"))) on_message(c, text, size);
  else if (size == 1 && *text == '2') say(&c->stream, "3");
  else if (c->state == OPENING && *text == '0') say(&c->stream, "40{\"user\":\"ada\"}"), c->state = JOINING;
  else if (c->state == JOINING && starts(text, size, "40")) is_ready(c);
  else fail("got what was not expected: %.*s", size < 200 ? (int)size : 200, text);
}

static void on_readable(struct client *c) {
  static unsigned char buffer[BUFFER];
  unsigned at = 0, size = receive(&c->stream, buffer);
  if (!size) return;
  if (c->state == UPGRADING && (at = upgrade_answer(buffer, size))) {
    c->state = OPENING;
    if (kind == &KINDS[0]) is_ready(c);
  }
  if (c->state > UPGRADING) at += read_frames(&c->stream, buffer + at, size - at, on_text, c);
  if (c->state != FREE) keep(&c->stream, buffer + at, size - at);
}

static void start(struct client *c, long long when) {
  open_stream(&c->stream, c - clients, port);
  c->state = CONNECTING;
  c->began = when;
  c->stream.have = 0;
  events_of(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static int turn(int milliseconds) {
  struct epoll_event events[EVENTS];
  int asked = 0, n = epoll_wait(epoll_fd, events, EVENTS, milliseconds);
  need(n >= 0 || errno == EINTR, "epoll_wait");
  for (int i = 0; i < n; i++) {
    struct client *c = &clients[events[i].data.u64];
    if ((long long)events[i].data.u64 == STDIN) asked = 1;
    else if (c->state == CONNECTING) {
      connected(&c->stream);
      events_of(c, EPOLL_CTL_MOD, EPOLLIN);
      send_upgrade(&c->stream, kind->path, port, 0);
      c->state = UPGRADING;
    } else if (c->state != FREE) on_readable(c);
  }
  if (now() - progress > STALL) fail("nobody got any further for %lld seconds", STALL / SECOND);
  return asked;
}

static void rest(long long nanoseconds) {
  for (long long until = now() + nanoseconds; now() < until;) progress = now(), turn(10);
}

static void connect_all(void) {
  while (ready < count) {
    while (made < count && made - ready < IN_FLIGHT) start(&clients[made++], now());
    turn(100);
  }
  rest(SETTLE * 1000000LL); /* joins have no answer: time for them to take effect */
  printf("{\"clients\": %d, \"rooms\": %d}\n", count, rooms);
}

/* Joins and leaves in turn; a visit lasts as long as STAY others take to begin. */
static void move(void) {
  int leaves = moves % 2;
  long long visit = moves++ / 2 - (leaves ? STAY : 0);
  if (visit < 0) return;
  struct client *c = &clients[visit * 7919 % count];
  say_room(c, leaves ? kind->leave : kind->join, (home(c) + 1) % rooms);
}

/* Something that happens so often a second. */
struct schedule {
  long long due, interval;
};

static struct schedule every(double per_second) {
  return (struct schedule){now(), per_second > 0 ? 1e9 / per_second : 0};
}

static int is_due(struct schedule *s) {
  if (!s->interval || s->due > now() || s->due >= end) return 0;
  s->due += s->interval;
  return 1;
}

static void run(double rate, double seconds, double moving, double coming) {
  clear(&times);
  clear(&arrivals);
  sent = delivered = in_time = churned = 0;
  long long began = progress = now();
  end = began + seconds * 1e9;
  struct schedule talking = every(rate), moves_due = every(moving), comings = every(coming);
  closed_loop = rate <= 0;
  running = 1;
  for (int room = 0; closed_loop && room < rooms; room++) talk(room, now());
  while (now() < end) {
    while (is_due(&talking)) talk(sent % rooms, talking.due - talking.interval);
    while (is_due(&moves_due)) move();
    while (free_passing && is_due(&comings)) start(&clients[passing[--free_passing]], comings.due - comings.interval);
    turn(!talking.interval || talking.due - now() > CALM ? 1 : 0);
  }
  running = 0;
  for (long long until = now() + PATIENCE; delivered < sent * room_size && now() < until;) turn(10);
  while (free_passing < PASSING) turn(10);
  for (; comings.interval && comings.due < end; comings.due += comings.interval) record(&arrivals, now() - comings.due); /* no place was free */
  printf("{\"sent\": %lld, \"delivered\": %lld, \"delivered_per_s\": %.1f, \"lost\": %lld, \"churned\": %lld, \"arrival_p99_us\": %.1f, ",
    sent, delivered, in_time / seconds, sent * room_size - delivered, churned, microseconds(&arrivals, 0.99));
  print_percentiles(&times);
  printf("}\n");
}

int main(int argc, char **argv) {
  char line[256];
  double rate, seconds, moving, coming;
  for (unsigned i = 0; argc == 5 && i < sizeof KINDS / sizeof *KINDS; i++)
    if (!strcmp(argv[4], KINDS[i].name)) kind = &KINDS[i];
  if (!kind || (port = atoi(argv[1])) <= 0 || (room_size = atoi(argv[3])) <= 0 || (rooms = atoi(argv[2]) / room_size) <= 0) {
    fprintf(stderr, "usage: chat PORT CLIENTS ROOM_SIZE raw|socketio\n");
    return 2;
  }
  count = rooms * room_size;
  describe = tell;
  setvbuf(stdout, NULL, _IOLBF, 0);
  raise_file_limit();
  need((epoll_fd = epoll_create1(0)) >= 0, "epoll_create1");
  need((clients = calloc(count + PASSING, sizeof *clients)) && (got = calloc(rooms, sizeof *got)), "memory");
  while (free_passing < PASSING) passing[free_passing] = count + free_passing, free_passing++;
  progress = now();
  connect_all();
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = STDIN};
  need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event), "stdin must be a pipe or a terminal");
  for (;;) {
    progress = now();
    if (!turn(1000)) continue;
    ssize_t read_now = read(STDIN_FILENO, line, sizeof line - 1);
    if (read_now <= 0) return 0;
    line[read_now] = 0;
    if (sscanf(line, "%lf %lf %lf %lf", &rate, &seconds, &moving, &coming) != 4) fail("cannot read: %s", line);
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    run(rate, seconds, moving, coming);
    need(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event), "epoll_ctl");
  }
}
