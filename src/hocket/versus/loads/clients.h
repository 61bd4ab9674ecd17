/* Many clients, brought to where they may speak: what is said then is the program's.
 *
 * `raw` speaks bare WebSocket; `socketio` opens an Engine.IO session and joins the main namespace with an auth payload;
 * `centrifuge` sends the connect command of its JSON protocol; `sse` asks for a stream of events and only listens.
 * Heartbeats of all of them are answered.
 */
#ifndef CLIENTS_H
#define CLIENTS_H
#include "crowd.h"
#include "net.h"

enum state { CONNECTING, UPGRADING, OPENING, JOINING, READY, REFUSED };

struct client {
  struct stream stream;
  enum state state;
  int round;       /* for broadcasts: the last one it has, or how many */
  long long asked; /* for echoes: when it sent what is not answered yet, or 0 */
};

struct kind {
  const char *name, *path, *go, *large, *room, *echo; /* what asks for a broadcast to all, for a large one, for one to the room; an echo */
  void (*on_text)(void *client, const unsigned char *text, unsigned size);
};

extern struct client *clients; /* of this process */
extern const struct kind *kind;
extern int port;

/* The program's: a message to a client that is ready. */
void on_message(struct client *c, const unsigned char *text, unsigned size);

/* From `PORT CLIENTS KIND [browser] [storm|moment]`: with the head of a browser; as many on their way as a listening socket
 * lets wait, or all of them in one moment. Ends the program with the usage. */
void clients_arguments(int argc, char **argv);
/* Part them, `together` of them always in one process, and connect. Prints a line of JSON when all are ready. */
void connect_all(int together);
/* One turn of at most `wait` nanoseconds (-1: no end); tells whether stdin has something to say. */
int turn(long long wait);
/* The same, and failing when nobody has got any further for STALL. */
void turn_or_stall(void);
#endif
