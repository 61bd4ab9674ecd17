/* The load generator: many WebSocket clients in one thread, and a clock that stops with the last of them.
 *
 *   load PORT CLIENTS raw|socketio
 *
 * connects all clients, then waits for a line on stdin before each round; every phase prints one line of JSON. In a round
 * the first client sends "go" and every client must get the broadcast exactly once: twice or never is an error, so is a
 * connection that ends, and a silence of 20 seconds. The payload carries the sender's monotonic clock as @@nanoseconds@@.
 *
 * `raw` speaks bare WebSocket to write_loop.c; `socketio` does the Engine.IO and Socket.IO handshake with an auth payload
 * and answers heartbeats. Clients come from 127.0.0.1, .2, ... so that no address runs out of ports.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT = 200, PER_ADDRESS = 20000, BUFFER = 16384, SILENCE_MS = 20000 };
enum state { UPGRADING, OPENING, JOINING, READY };

struct client {
	int fd;
	enum state state;
	int round;              /* the last round whose broadcast it has */
	unsigned have;          /* bytes of an unfinished frame in `part` */
	unsigned char *part;
};

static struct client *clients;
static int count, ready, epoll_fd, socketio, now_round, received;
static long long *latencies, last_arrival, sent_at;

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *why, int client) {
	fprintf(stderr, "load: client %d: %s (%s); %d of %d ready, %d received\n", client, why, strerror(errno), ready, count, received);
	exit(1);
}

/* One masked text frame under 126 bytes; the mask is zero, which costs the server the same work. */
static void say(struct client *c, const char *text) {
	unsigned char frame[256] = {0x81};
	size_t size = strlen(text);
	frame[1] = 0x80 | size;
	memcpy(frame + 6, text, size);
	if (write(c->fd, frame, 6 + size) != (ssize_t)(6 + size)) fail("write", c - clients);
}

static void start(int i, int port) {
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in source = {.sin_family = AF_INET};
	int on = 1;
	char request[512];
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / PER_ADDRESS);
	struct client *c = &clients[i];
	if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket", i);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(c->fd, (void *)&source, sizeof source)) fail("bind", i);
	if (connect(c->fd, (void *)&server, sizeof server)) fail("connect", i);
	int size = snprintf(request, sizeof request,
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
		socketio ? "/socket.io/?EIO=4&transport=websocket" : "/", port);
	if (write(c->fd, request, size) != size) fail("request", i);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void is_ready(struct client *c) {
	c->state = READY;
	ready++;
}

static void on_broadcast(struct client *c, const unsigned char *stamp) {
	if (c->round == now_round) fail("got a broadcast twice", c - clients);
	c->round = now_round;
	last_arrival = now();
	sent_at = atoll((const char *)stamp + 2);
	latencies[received++] = last_arrival - sent_at;
}

static void on_text(struct client *c, const unsigned char *text, unsigned size) {
	char auth[64];
	const unsigned char *stamp = memmem(text, size, "@@", 2);
	if (stamp) on_broadcast(c, stamp);
	else if (socketio && size == 1 && text[0] == '2') say(c, "3");
	else if (c->state == OPENING && text[0] == '0') {
		snprintf(auth, sizeof auth, "40{\"user\":\"user-%d\"}", (int)(c - clients));
		say(c, auth);
		c->state = JOINING;
	} else if (c->state == JOINING && size > 1 && text[0] == '4' && text[1] == '0') is_ready(c);
	else if (c->state == JOINING) fail("was not let in", c - clients);
}

/* All whole frames in `data`; how many bytes they are. */
static unsigned on_frames(struct client *c, const unsigned char *data, unsigned size) {
	unsigned at = 0;
	while (size - at >= 2) {
		unsigned head = 2, length = data[at + 1];
		if (length == 126) {
			if (size - at < 4) break;
			head = 4;
			length = data[at + 2] << 8 | data[at + 3];
		} else if (length > 126) fail("sent a frame over 64 KiB", c - clients);
		if (size - at < head + length) break;
		if ((data[at] & 15) == 1) on_text(c, data + at + head, length);
		else if ((data[at] & 15) == 8) fail("was closed", c - clients);
		at += head + length;
	}
	return at;
}

static void on_readable(struct client *c) {
	static unsigned char buffer[BUFFER + 1];
	unsigned have = c->have;
	if (have) memcpy(buffer, c->part, have);
	ssize_t got = read(c->fd, buffer + have, BUFFER - have);
	if (got < 0 && errno == EAGAIN) return;
	if (got <= 0) fail("lost its connection", c - clients);
	unsigned size = have + got, at = 0;
	if (c->state == UPGRADING) {
		buffer[size] = 0;
		char *end = strstr((char *)buffer, "\r\n\r\n");
		if (!end || strncmp((char *)buffer, "HTTP/1.1 101", 12)) fail("was not upgraded", c - clients);
		at = end + 4 - (char *)buffer;
		c->state = OPENING;
		if (!socketio) is_ready(c);
	}
	at += on_frames(c, buffer + at, size - at);
	c->have = size - at;
	if (c->have) {
		if (!c->part) c->part = malloc(BUFFER);
		memcpy(c->part, buffer + at, c->have);
	}
}

static void turn(void) {
	struct epoll_event events[512];
	int n = epoll_wait(epoll_fd, events, 512, SILENCE_MS);
	if (n == 0) fail("silence", -1);
	for (int i = 0; i < n; i++) on_readable(&clients[events[i].data.u32]);
}

static int ascending(const void *a, const void *b) {
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

static void broadcast(void) {
	now_round++;
	received = 0;
	say(&clients[0], socketio ? "42[\"go\",\"go\"]" : "go");
	while (received < count) turn();
	long long all = last_arrival - sent_at;
	qsort(latencies, count, sizeof *latencies, ascending);
	printf("{\"last_ms\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", all / 1e6, latencies[count / 2] / 1e6, latencies[count * 99LL / 100] / 1e6);
}

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: load PORT CLIENTS raw|socketio\n");
		return 2;
	}
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	setvbuf(stdout, NULL, _IOLBF, 0);
	count = atoi(argv[2]);
	socketio = !strcmp(argv[3], "socketio");
	clients = calloc(count, sizeof *clients);
	latencies = calloc(count, sizeof *latencies);
	epoll_fd = epoll_create1(0);
	long long began = now();
	for (int made = 0; ready < count;) {
		while (made < count && made - ready < IN_FLIGHT) start(made++, atoi(argv[1]));
		turn();
	}
	printf("{\"connect_s\": %.3f}\n", (now() - began) / 1e9);
	for (char line[16]; fgets(line, sizeof line, stdin);) broadcast();
	return 0;
}
