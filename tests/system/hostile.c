/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients that nobody wants, and one that wants to be served meanwhile: hostile SOCKET MODE [ARGUMENT].
 *
 * Each mode plays its part, and ends with 0 if the daemon did what it must: mostly that it cuts the connection off in
 * time. `call` is for the well-behaved: it sends one message as it is, and prints the replies.
 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The daemon's limit is 5 s; on a machine with much else to do it may be late. */
#define CUT_OFF_MIN_SECONDS 3.0
#define CUT_OFF_MAX_SECONDS 60.0
/* Of replies that nobody has read: a quarter of the socket's buffer, and those of one round. */
#define UNREAD_MAX_BYTES ((size_t)40 << 10)
/* Whoever had to wait for one of the others would wait for that limit. */
#define LATENCY_MAX_SECONDS 3.0

static const char *socket_path;
static const char *argument;
static char *reply; /* the last one, without its NUL */
static size_t reply_capacity;

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("hostile: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	return 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void rest_ms(unsigned int milliseconds)
{
	struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};

	nanosleep(&time, NULL);
}

static int connect_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		fail("%s: %s", socket_path, strerror(errno));
		exit(1);
	}
	return fd;
}

/* True if the daemon has closed the connection, within this time. */
static bool is_cut_off(int fd, double seconds)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};

	return poll(&poll_fd, 1, (int)(seconds * 1000)) == 1;
}

static int send_text(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);

		if (sent < 0)
			return -errno;
		text += sent;
		length -= (size_t)sent;
	}
	return 0;
}

/* Reads a message into reply. False at the end of the connection. */
static bool receive_reply(FILE *stream)
{
	ssize_t length = getdelim(&reply, &reply_capacity, 0, stream);

	return length > 0 && !reply[length - 1];
}

/* The connection must be cut off, neither at once nor too late. */
static int expect_timeout(int fd, double start)
{
	double seconds;

	if (!is_cut_off(fd, CUT_OFF_MAX_SECONDS))
		return fail("still connected after %.0f seconds", CUT_OFF_MAX_SECONDS);
	seconds = now() - start;
	return seconds < CUT_OFF_MIN_SECONDS ? fail("cut off after %.1f seconds already", seconds) : 0;
}

/*
 * modes
 */

static int half_a_message(void)
{
	static const char text[] = "{\"method\":\"org.varlink.serv";
	double start = now();
	int fd = connect_socket();

	return send_text(fd, text, strlen(text)) ? fail("can't send") : expect_timeout(fd, start);
}

static int byte_by_byte(void)
{
	double start = now();
	int fd = connect_socket();

	while (now() - start < CUT_OFF_MAX_SECONDS) {
		if (send_text(fd, " ", 1))
			return now() - start < CUT_OFF_MIN_SECONDS ? fail("cut off at once") : 0;
		rest_ms(100);
	}
	return fail("a byte now and then keeps a message going for ever");
}

/* A sound call, byte by byte, is answered. */
static int slow_call(void)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");

	for (size_t i = 0; i < sizeof(text); i++) {
		if (send_text(fd, text + i, 1))
			return fail("cut off after %zu bytes", i);
		rest_ms(2);
	}
	return stream && receive_reply(stream) && strstr(reply, "\"vendor\"") ? 0 : fail("no reply");
}

/*
 * A call in so many pieces that the daemon waits for more, the last of which begins the next call: that is a new one,
 * and not waited for. Answers how long the second reply took, or -1.
 */
static double second_call_seconds(void)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	char both[sizeof(text) + 10];
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");
	double start;

	memcpy(both, text, sizeof(text));
	memcpy(both + sizeof(text), text, 10);
	for (size_t i = 0; i < 10; i++) {
		if (send_text(fd, both + i, 1))
			return -1;
		rest_ms(10);
	}
	if (!stream || send_text(fd, both + 10, sizeof(both) - 10) || !receive_reply(stream))
		return -1;
	start = now();
	if (send_text(fd, text + 10, sizeof(text) - 10) || !receive_reply(stream))
		return -1;
	fclose(stream);
	return now() - start;
}

/* The daemon would wait for 2.5 s. On a busy machine a reply may take as long, but not each time. */
static int slow_calls(void)
{
	double seconds = -1;

	for (unsigned int i = 0; i < 5; i++) {
		seconds = second_call_seconds();
		if (seconds >= 0 && seconds < 2)
			return 0;
	}
	return seconds < 0 ? fail("no reply") : fail("the second call is waited for: %.1f seconds", seconds);
}

/* A gigabyte without an end, or with many of them. */
static int garbage(bool with_nuls)
{
	static char bytes[1 << 16];
	size_t limit = (size_t)8 << 20, sent = 0;
	int fd = connect_socket();

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; with_nuls && i < sizeof(bytes); i += 100)
		bytes[i] = 0;
	while (sent < (size_t)1 << 30 && send_text(fd, bytes, sizeof(bytes)) == 0)
		sent += sizeof(bytes);
	return sent > limit ? fail("%zu bytes of garbage were taken", sent) : 0;
}

static int garbage_endless(void)
{
	return garbage(false);
}

static int garbage_messages(void)
{
	return garbage(true);
}

/* What the daemon has sent before it closed the connection. */
static int expect_few_replies(int fd)
{
	static char bytes[1 << 16];
	size_t total = 0;
	ssize_t received;

	while ((received = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		total += (size_t)received;
	return total && total <= UNREAD_MAX_BYTES ? 0 : fail("%zu bytes of replies were made for nobody", total);
}

/* Calls and calls, and no reply is ever read. The daemon must stop reading and answering, and then lose patience. */
static int deaf(void)
{
	static const char text[] = "{\"method\":\"io.zsd.control.Stats\"}";
	int fd = connect_socket();
	double start = now();
	size_t nr = 0;

	for (; now() - start < CUT_OFF_MAX_SECONDS; nr++) {
		ssize_t sent = send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN)
			return expect_timeout(fd, start) ?: expect_few_replies(fd);
		if (sent < 0)
			return fail("cut off after %zu calls, with room left", nr);
	}
	return fail("%zu calls were taken without a reply being read", nr);
}

/* Reads a byte every now and then of many replies. */
static int slow_reader(void)
{
	static const char text[] = "{\"method\":\"io.zsd.control.Stats\"}";
	int fd = connect_socket();
	double start = now();
	char byte;

	while (send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	while (now() - start < CUT_OFF_MAX_SECONDS) {
		if (is_cut_off(fd, 0.05))
			return 0;
		if (recv(fd, &byte, 1, 0) <= 0)
			return 0;
	}
	return fail("a reader of some bytes a second is not cut off");
}

/* Holds as many connections as it gets, for some seconds. */
static int many_connections(void)
{
	unsigned int nr = 200;
	double seconds = argument ? atof(argument) : 5;

	for (unsigned int i = 0; i < nr; i++)
		connect_socket();
	rest_ms((unsigned int)(seconds * 1000));
	return 0;
}

/* Ten thousand connections, or the argument's number, as many of them at a time as this process may have. */
static int connections(void)
{
	int fds[500];
	unsigned int nr = sizeof(fds) / sizeof(fds[0]), total = argument ? (unsigned int)atoi(argument) : 10000;

	for (unsigned int i = 0; i < total; i++) {
		if (i >= nr)
			close(fds[i % nr]);
		fds[i % nr] = connect_socket();
	}
	return 0;
}

/* A gigabyte of garbage, with a new connection whenever one is cut off. */
static int gibibyte(void)
{
	static char bytes[1 << 16];
	size_t sent = 0;

	memset(bytes, 'x', sizeof(bytes));
	while (sent < (size_t)1 << 30) {
		int fd = connect_socket();

		for (; sent < (size_t)1 << 30 && send_text(fd, bytes, sizeof(bytes)) == 0;)
			sent += sizeof(bytes);
		/* What was sent in part counts as one, so that this ends. */
		sent += sizeof(bytes);
		close(fd);
	}
	return 0;
}

/* A call whose sender doesn't wait is obeyed all the same. */
static int oneway(void)
{
	int fd = connect_socket();

	if (!argument || send_text(fd, argument, strlen(argument) + 1))
		return fail("can't send");
	close(fd);
	return 0;
}

/* Says that there is no more to come, and gets its reply nevertheless. */
static int half_closed(void)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");

	if (!stream || send_text(fd, text, sizeof(text)) || shutdown(fd, SHUT_WR))
		return fail("can't send");
	if (!receive_reply(stream) || !strstr(reply, "\"vendor\""))
		return fail("no reply");
	if (receive_reply(stream))
		return fail("a second reply");
	return 0;
}

/* Many calls at once: the replies come in their order, and none for those that want none. */
static int pipelined(void)
{
	unsigned int nr = 1000;
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");
	char *calls = NULL, expected[64];
	size_t length = 0;
	FILE *memory = open_memstream(&calls, &length);

	if (!stream || !memory)
		return fail("out of memory");
	for (unsigned int i = 0; i < nr; i++) {
		fprintf(memory, "{\"method\":\"number%u.Call\"%s}", i, i % 3 == 2 ? ",\"oneway\":true" : "");
		fputc(0, memory);
	}
	fclose(memory);
	if (send_text(fd, calls, length))
		return fail("can't send");
	free(calls);
	for (unsigned int i = 0; i < nr; i++) {
		if (i % 3 == 2)
			continue;
		snprintf(expected, sizeof(expected), "\"interface\":\"number%u\"", i);
		if (!receive_reply(stream) || !strstr(reply, expected))
			return fail("reply %u is missing", i);
	}
	return is_cut_off(fd, 0.1) ? fail("cut off behind the last reply") : 0;
}

/* A sound call of just this length, filled up with blanks. */
static int long_call(size_t length)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	char *message = malloc(length + 1);
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");

	if (!message || !stream)
		return fail("out of memory");
	memset(message, ' ', length);
	memcpy(message, text, strlen(text));
	message[length] = 0;
	/* Sending fails if the daemon cuts off in between. */
	send_text(fd, message, length + 1);
	free(message);
	return receive_reply(stream) && strstr(reply, "\"vendor\"") ? 0 : 1;
}

static int longest_message(void)
{
	return long_call((size_t)1 << 20) ? fail("a message of 1 MiB is refused") : 0;
}

static int too_long_message(void)
{
	return long_call(((size_t)1 << 20) + 1) ? 0 : fail("a message of more than 1 MiB is taken");
}

/* Listens at the socket's path, as some other program might, until it is killed. */
static int listener(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* Seen only when it listens. */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", socket_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 5) ||
	    rename(address.sun_path, socket_path))
		return fail("%s: %s", socket_path, strerror(errno));
	pause();
	return 0;
}

/* Sends the argument as one message and prints the replies, each on a line. Its end is that of the last reply. */
static int call(void)
{
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");
	bool continues = true;

	if (!stream || !argument || send_text(fd, argument, strlen(argument) + 1))
		return fail("can't send");
	while (continues) {
		if (!receive_reply(stream))
			return fail("closed");
		puts(reply);
		continues = strstr(reply, "\"continues\":true");
	}
	return 0;
}

/* Wants a reply now and then, for some seconds, and none of them late. */
static int latency(void)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	double seconds = argument ? atof(argument) : 5, start = now(), worst = 0;
	int fd = connect_socket();
	FILE *stream = fdopen(fd, "r");

	if (!stream)
		return fail("out of memory");
	while (now() - start < seconds) {
		double sent = now(), took;

		if (send_text(fd, text, sizeof(text)) || !receive_reply(stream))
			return fail("cut off");
		took = now() - sent;
		worst = took > worst ? took : worst;
		rest_ms(5);
	}
	printf("worst of all replies: %.1f ms\n", worst * 1000);
	return worst > LATENCY_MAX_SECONDS ? fail("a reply took %.1f seconds", worst) : 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{"half-a-message", half_a_message},
	{"byte-by-byte", byte_by_byte},
	{"slow-call", slow_call},
	{"slow-calls", slow_calls},
	{"garbage-endless", garbage_endless},
	{"garbage-messages", garbage_messages},
	{"deaf", deaf},
	{"slow-reader", slow_reader},
	{"many-connections", many_connections},
	{"connections", connections},
	{"gibibyte", gibibyte},
	{"oneway", oneway},
	{"half-closed", half_closed},
	{"pipelined", pipelined},
	{"longest-message", longest_message},
	{"too-long-message", too_long_message},
	{"listener", listener},
	{"call", call},
	{"latency", latency},
};

int main(int argc, char **argv)
{
	if (argc < 3)
		return fail("usage: %s SOCKET MODE [ARGUMENT]", argv[0]);
	socket_path = argv[1];
	argument = argv[3];
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[2]) == 0)
			return modes[i].run();
	}
	return fail("%s: no such mode", argv[2]);
}
