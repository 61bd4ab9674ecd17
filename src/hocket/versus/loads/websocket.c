#define _GNU_SOURCE
#include "websocket.h"
#include <stdio.h>
#include <string.h>

static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

/* What Chromium sends with an upgrade besides what everybody has to: 450 bytes of head instead of 180. */
static const char BROWSER[] =
  "Pragma: no-cache\r\nCache-Control: no-cache\r\n"
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
  "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

void send_frame(const struct stream *s, int opcode, const void *bytes, size_t size) {
  unsigned char frame[6 + 125] = {0x80 | opcode, 0x80 | size};
  if (size > 125) fail("a frame of %zu bytes is too long to send", size);
  memcpy(frame + 2, MASK, 4);
  for (size_t i = 0; i < size; i++) frame[6 + i] = ((const unsigned char *)bytes)[i] ^ MASK[i & 3];
  send_all(s, frame, 6 + size);
}

void say(const struct stream *s, const char *text) { send_frame(s, 1, text, strlen(text)); }

void send_upgrade(const struct stream *s, const char *path, int port, int browser) {
  char request[1024];
  int size = snprintf(request, sizeof request,
    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
    path, port, browser ? BROWSER : "");
  send_all(s, request, size);
}

unsigned http_head(const unsigned char *data, unsigned size, const char *status) {
  const unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
  if (!end && size < BUFFER) return 0;
  if (!end || size < 12 || memcmp(data, "HTTP/1.1 ", 9) || memcmp(data + 9, status, 3))
    fail("got instead of an answer with status %s: %.*s", status, size < 60 ? (int)size : 60, data);
  return end + 4 - data;
}

unsigned upgrade_answer(const unsigned char *data, unsigned size) { return http_head(data, size, "101"); }

static void on_control(const struct stream *s, unsigned head, const unsigned char *data, unsigned size) {
  if (head == 0x89) send_frame(s, 10, data, size < 126 ? size : 125);
  else if (head == 0x88)
    fail("a connection was closed by the server: %d %.*s", size < 2 ? 0 : data[0] << 8 | data[1], size < 2 ? 0 : (int)size - 2, data + 2);
  else if (head != 0x8a) fail("got a frame that starts with 0x%02x: in parts, compressed or binary", head);
}

unsigned read_frames(const struct stream *s, const unsigned char *data, unsigned size,
                     void (*on_text)(void *who, const unsigned char *text, unsigned size), void *who) {
  unsigned at = 0;
  while (size - at >= 2) {
    unsigned head = 2, length = data[at + 1];
    if (length > 126) fail("got a masked frame or one over 64 KiB");
    if (length == 126) {
      if (size - at < 4) break;
      head = 4;
      length = data[at + 2] << 8 | data[at + 3];
    }
    if (head + length > BUFFER) fail("got a frame that is too long");
    if (size - at < head + length) break;
    if (data[at] == 0x81) on_text(who, data + at + head, length);
    else on_control(s, data[at], data + at + head, length);
    at += head + length;
  }
  return at;
}
