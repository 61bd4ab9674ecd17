/* WebSocket as a client needs it to be fast: short masked frames out, whole unmasked frames in. */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H
#include "net.h"

void send_frame(const struct stream *s, int opcode, const void *bytes, size_t size); /* under 126 bytes */
void say(const struct stream *s, const char *text);

/* Ask for the upgrade, with the head of a small client or of a browser. */
void send_upgrade(const struct stream *s, const char *path, int port, int browser);
/* The length of the answer to it once that is whole, or else 0. */
unsigned upgrade_answer(const unsigned char *data, unsigned size);

/* Handle all whole frames; returns how many bytes they were. Pings are answered here. */
unsigned read_frames(const struct stream *s, const unsigned char *data, unsigned size,
                     void (*on_text)(void *who, const unsigned char *text, unsigned size), void *who);

/* The length of a head of HTTP with this status once it is whole, or else 0. */
unsigned http_head(const unsigned char *data, unsigned size, const char *status);
#endif
