/* Many clients in one thread, brought to where they may speak: what is said then is the program's.
 *
 * `raw` speaks bare WebSocket; `socketio` opens an Engine.IO session and joins the main namespace with an auth payload;
 * `centrifuge` sends the connect command of its JSON protocol; `sse` asks for a stream of events and only listens.
 * Heartbeats of all of them are answered.
 */
#ifndef CLIENTS_H
#define CLIENTS_H
#include "net.h"

enum state { CONNECTING, UPGRADING, OPENING, JOINING, READY };

struct client {
  struct stream stream;
  enum state state;
  int round;       /* for broadcasts: the last one it has */
  long long asked; /* for echoes: when it sent what is not answered yet, or 0 */
};

struct kind {
  const char *name, *path, *go, *echo; /* what asks for a broadcast, and what for an echo */
  void (*on_text)(void *client, const unsigned char *text, unsigned size);
};

extern struct client *clients;
extern int count, ready;
extern const struct kind *kind;

/* The program's: a message to a client that is ready. */
void on_message(struct client *c, const unsigned char *text, unsigned size);

/* From `PORT CLIENTS KIND [browser]`; returns the port or ends the program with the usage. */
int clients_arguments(int argc, char **argv);
void connect_all(int port); /* prints a line of JSON */
/* One turn of at most `wait` nanoseconds (-1: no end); tells whether stdin has something to say. */
int turn(long long wait);
/* The same, and failing when nobody has got any further for STALL. */
void turn_or_stall(void);
#endif
