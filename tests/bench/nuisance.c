/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client that nobody wants, at work without an end: nuisance SOCKET KIND. It begins stopped, as by SIGSTOP, and works
 * while SIGCONT lets it, so that whoever measures says when.
 *
 *   half         half a message, byte by byte to each of many connections
 *   slow         as many calls as are taken, on many connections, and a byte of their replies now and then
 *   connections  connections in a loop, of which the last 500 stay
 *   garbage      what is no message, with a new connection whenever one is cut off
 *
 * tests/system/hostile.c is about what the daemon must do with them, each of them alone; this is about the cost.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Below what the daemon has room for: all of them are taken in. */
#define NR_VICTIMS 48
#define NR_OPEN	   500

static const char *socket_path;

static int connect_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "nuisance: %s: %s\n", socket_path, strerror(errno));
		exit(1);
	}
	return fd;
}

static void rest_ms(unsigned int milliseconds)
{
	const struct timespec time = {.tv_nsec = (long)milliseconds * 1000000};

	nanosleep(&time, NULL);
}

/* A new connection in place of one that was cut off. */
static void replace(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = connect_socket();
}

/* Does something to each of many connections, in turn, and replaces those where that fails. */
static void visit(bool (*annoy)(int fd), unsigned int rest)
{
	int fds[NR_VICTIMS];

	memset(fds, -1, sizeof(fds));
	for (unsigned int i = 0;; i = (i + 1) % NR_VICTIMS) {
		if (fds[i] < 0 || !annoy(fds[i]))
			replace(&fds[i]);
		if (rest)
			rest_ms(rest);
	}
}

/* Waits for room: a client that asks for it all the time would show what it takes itself. */
static bool send_byte(int fd)
{
	return send(fd, " ", 1, MSG_NOSIGNAL) == 1;
}

static void half(void)
{
	visit(send_byte, 0);
}

static bool ask_and_read_little(int fd)
{
	static const char text[] = "{\"method\":\"io.zsd.control.Stats\"}";
	char byte;

	while (send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		continue;
	return errno == EAGAIN && (recv(fd, &byte, 1, MSG_DONTWAIT) == 1 || errno == EAGAIN);
}

static void slow(void)
{
	visit(ask_and_read_little, 1);
}

static void connections(void)
{
	int fds[NR_OPEN];

	memset(fds, -1, sizeof(fds));
	for (unsigned int i = 0;; i = (i + 1) % NR_OPEN)
		replace(&fds[i]);
}

static void garbage(void)
{
	static char bytes[1 << 16];
	int fd = -1;

	memset(bytes, 'x', sizeof(bytes));
	for (;;) {
		if (fd < 0 || send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) < 0)
			replace(&fd);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{"half", half},
	{"slow", slow},
	{"connections", connections},
	{"garbage", garbage},
};

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: nuisance SOCKET KIND\n");
		return 2;
	}
	socket_path = argv[1];
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, argv[2]))
			continue;
		raise(SIGSTOP);
		kinds[i].run();
	}
	fprintf(stderr, "nuisance: %s: no such kind\n", argv[2]);
	return 2;
}
