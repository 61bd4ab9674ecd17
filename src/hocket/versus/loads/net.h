/* What every load generator stands on: a clock, failing with a reason, and sockets that never block.
 *
 * Whatever goes wrong ends the program with status 1 and a line on stderr: a load that carries on measures something else.
 * Only in a storm a client that fails counts as refused, and the others go on: what went wrong first is said.
 */
#ifndef NET_H
#define NET_H
#include <setjmp.h>
#include <stddef.h>

enum { BUFFER = 65536 };
static const long long SECOND = 1000000000LL, STALL = 20000000000LL;

/* One connection, and the bytes of an unfinished head, frame or event. */
struct stream {
  int fd;
  unsigned have;
  unsigned char *part;
};

extern long long progress;      /* when somebody last got further */
extern jmp_buf *rescue;         /* where to go on when something fails, or NULL */
extern void (*describe)(void);  /* says on stderr how far the program is; the program may set it */

long long now(void);
void fail(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void need(int ok, const char *what);

void raise_file_limit(void);
void open_stream(struct stream *s, int number, int port);
void connected(const struct stream *s);
void send_all(const struct stream *s, const void *bytes, size_t size);

/* Read once behind the bytes kept; returns how many there are now, 0 if there was nothing to read. */
unsigned receive(struct stream *s, unsigned char *buffer);
/* For a connection that the server may close: stop watching it when it has. */
int ended(const struct stream *s);
/* Keep what is not used up yet. */
void keep(struct stream *s, const unsigned char *rest, unsigned size);

/* epoll: `number` comes back with the event. */
void watch(const struct stream *s, int how, unsigned events, long long number);
int wait_events(long long *numbers, int most, long long nanoseconds);
void watch_stdin(long long number);
void watch_bell(int eventfd); /* only wakes up: it comes back with no event */
void forget_stdin(void);

int ascending(const void *a, const void *b); /* two long long, for qsort */
#endif
