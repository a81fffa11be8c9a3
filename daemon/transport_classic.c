/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic transport.
 *
 * A descriptor of its own (FUSE_DEV_IOC_CLONE) spares a thread the lock of the list on which the kernel keeps what was
 * read and isn't answered yet; an answer must go to the descriptor that the request came from. Who can't open
 * /dev/fuse (a daemon that got its mount from fusermount3) shares the mount's descriptor, which works as well.
 *
 * The threads serve frequent requests themselves (fuse_request.h) and give the others to libfuse.
 *
 * A thread leaves when reading says that the connection has ended, or when it is told to: `stopping` is set and a
 * signal interrupts its read. A signal that comes between the test and the read is lost; so it is repeated until the
 * thread has left.
 */

#include "transport_classic.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "frontend.h"
#include "fuse_request.h"
#include "fuse_session.h"
#include "threads.h"

#define STOP_SIGNAL	   SIGUSR1
#define STOP_INTERVAL_NSEC 2000000

/*
 * A request is read to where the data of a WRITE begins on a page. The kernel refuses a smaller buffer than header,
 * argument and largest WRITE.
 */
#define WRITE_DATA_OFFSET ZS_PAGE_SIZE
#define REQUEST_OFFSET	  (WRITE_DATA_OFFSET - sizeof(struct zsd_fuse_in_header) - sizeof(struct zsd_fuse_write_in))
#define BUFFER_BYTES	  (WRITE_DATA_OFFSET + ZSD_FUSE_MAX_IO_BYTES)
#define REQUEST_BYTES_MAX (BUFFER_BYTES - REQUEST_OFFSET)

struct worker {
	struct zsd_classic *classic;
	struct zsd_fuse_server server; /* owner thread only */
	unsigned int index;
	int fd; /* own clone, or the mount's */
	bool cloned;
	char *buffer; /* BUFFER_BYTES, page-aligned */
	pthread_t thread;
	_Atomic bool left;
};

struct zsd_classic {
	struct zsd_classic_options options;
	_Atomic bool stopping;
	_Atomic unsigned int nr_serving; /* threads that have not left */
	unsigned int nr_clones;
	unsigned int nr_workers; /* with a running or finished thread */
	struct worker workers[];
};

/* requests */

/* Returns the length, or -errno; -EAGAIN if there is nothing to serve this time. */
static ssize_t receive(int fd, void *bytes)
{
	ssize_t length = read(fd, bytes, REQUEST_BYTES_MAX);

	if (length >= 0)
		return length;
	/* ENOENT: whoever asked was killed before we could read it. */
	return errno == EINTR || errno == ENOENT ? -EAGAIN : -errno;
}

static void send_reply(const struct worker *worker, const struct zsd_fuse_request *request,
		       struct zsd_fuse_reply *reply)
{
	struct iovec parts[] = {
		{&reply->header, sizeof(reply->header)},
		{(void *)reply->body, reply->body_length},
	};

	if (writev(worker->fd, parts, reply->body_length ? 2 : 1) < 0)
		zsd_fuse_undelivered(&worker->server, request, reply);
}

static ssize_t write_rare(void *argument, struct iovec *parts, int nr_parts)
{
	const struct worker *worker = argument;

	return writev(worker->fd, parts, nr_parts);
}

static void serve_rare(struct worker *worker, const void *bytes, size_t length)
{
	const struct zsd_fuse_sink sink = {write_rare, worker};

	zsd_fuse_session_serve(worker->classic->options.session, bytes, length, &sink);
}

static void serve(struct worker *worker, void *bytes, size_t length)
{
	struct zsd_fuse_request request;
	struct zsd_fuse_reply reply;

	if (!zsd_fuse_split(bytes, length, &request))
		return;
	request.output = worker->buffer + WRITE_DATA_OFFSET;
	request.output_capacity = ZSD_FUSE_MAX_IO_BYTES;
	switch (zsd_fuse_serve(&worker->server, &request, &reply)) {
	case ZSD_FUSE_REPLY:
		send_reply(worker, &request, &reply);
		break;
	case ZSD_FUSE_RARE:
		serve_rare(worker, bytes, length);
		break;
	case ZSD_FUSE_SILENT:
		break;
	}
}

static void serve_until_end(struct worker *worker)
{
	char *bytes = worker->buffer + REQUEST_OFFSET;

	while (!atomic_load_explicit(&worker->classic->stopping, memory_order_relaxed)) {
		ssize_t length = receive(worker->fd, bytes);

		if (length >= 0) {
			serve(worker, bytes, (size_t)length);
			continue;
		}
		if (length == -EAGAIN)
			continue;
		if (length != -ENODEV)
			zs_log(ZS_LOG_ERR, "can't read requests from /dev/fuse: %s", strerror((int)-length));
		return;
	}
}

/* threads */

/* The last one to leave tells it, unless all were told to leave. */
static void leave(struct worker *worker)
{
	struct zsd_classic *classic = worker->classic;
	uint64_t one = 1;

	atomic_store(&worker->left, true);
	if (atomic_fetch_sub(&classic->nr_serving, 1) != 1 || atomic_load(&classic->stopping))
		return;
	if (write(classic->options.ended_fd, &one, sizeof(one)) < 0)
		zs_log(ZS_LOG_ERR, "can't report the end of the FUSE connection: %s", strerror(errno));
}

static void *run(void *argument)
{
	struct worker *worker = argument;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, STOP_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	serve_until_end(worker);
	worker->server.ops->thread_end(worker->server.frontend, worker->server.thread);
	leave(worker);
	return NULL;
}

static void interrupt(int signal)
{
}

static int handle_stop_signal(void)
{
	/* No SA_RESTART: read(2) is to come back. */
	struct sigaction action = {.sa_handler = interrupt};

	return sigaction(STOP_SIGNAL, &action, NULL) ? -errno : 0;
}

/* Own descriptor of the same connection, or -1. */
static int clone_fd(int fuse_fd)
{
	ZS_CLEANUP_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	uint32_t source = (uint32_t)fuse_fd;

	if (fd < 0 || ioctl(fd, ZSD_FUSE_CLONE, &source))
		return -1;
	return zs_take_fd(fd);
}

static void deinit_worker(struct worker *worker)
{
	if (worker->cloned)
		close(worker->fd);
	if (worker->buffer)
		munmap(worker->buffer, BUFFER_BYTES);
}

static int init_worker(struct zsd_classic *classic, struct worker *worker, unsigned int index)
{
	int fd = clone_fd(classic->options.fuse_fd);
	void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*worker = (struct worker){
		.classic = classic,
		.server = {.ops = classic->options.ops, .frontend = classic->options.frontend},
		.index = index,
		.fd = fd >= 0 ? fd : classic->options.fuse_fd,
		.cloned = fd >= 0,
		.buffer = buffer == MAP_FAILED ? NULL : buffer,
	};
	return worker->buffer ? 0 : -ENOMEM;
}

static int start_worker(struct zsd_classic *classic)
{
	unsigned int index = classic->nr_workers;
	struct worker *worker = &classic->workers[index];
	char name[16];
	int r = init_worker(classic, worker, index);

	if (!r)
		r = classic->options.ops->thread_begin(classic->options.frontend, index, &worker->server.thread);
	if (r) {
		deinit_worker(worker);
		return r;
	}
	snprintf(name, sizeof(name), "zsd-fuse-%u", index);
	atomic_fetch_add(&classic->nr_serving, 1);
	r = zsd_thread_start(name, run, worker, &worker->thread);
	if (r) {
		atomic_fetch_sub(&classic->nr_serving, 1);
		classic->options.ops->thread_end(classic->options.frontend, worker->server.thread);
		deinit_worker(worker);
		return r;
	}
	classic->nr_clones += worker->cloned;
	classic->nr_workers++;
	return 0;
}

static void destroyp(struct zsd_classic **classic)
{
	zsd_classic_destroy(*classic);
}

int zsd_classic_create(const struct zsd_classic_options *options, struct zsd_classic **ret_classic)
{
	size_t size = sizeof(struct zsd_classic) + options->nr_threads * sizeof(struct worker);
	ZS_CLEANUP(destroyp) struct zsd_classic *classic = zs_calloc(1, size);
	int r;

	zs_assert(options->nr_threads > 0);
	if (!classic)
		return -ENOMEM;
	classic->options = *options;
	r = handle_stop_signal();
	for (unsigned int i = 0; !r && i < options->nr_threads; i++)
		r = start_worker(classic);
	if (r)
		return r;
	*ret_classic = zs_take(classic);
	return 0;
}

/* How many were still there. */
static unsigned int interrupt_workers(struct zsd_classic *classic)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < classic->nr_workers; i++) {
		if (atomic_load(&classic->workers[i].left))
			continue;
		pthread_kill(classic->workers[i].thread, STOP_SIGNAL);
		nr++;
	}
	return nr;
}

void zsd_classic_destroy(struct zsd_classic *classic)
{
	const struct timespec interval = {.tv_nsec = STOP_INTERVAL_NSEC};

	if (!classic)
		return;
	atomic_store(&classic->stopping, true);
	while (interrupt_workers(classic))
		nanosleep(&interval, NULL);
	for (unsigned int i = 0; i < classic->nr_workers; i++) {
		pthread_join(classic->workers[i].thread, NULL);
		deinit_worker(&classic->workers[i]);
	}
	free(classic);
}

unsigned int zsd_classic_nr_clones(const struct zsd_classic *classic)
{
	return classic->nr_clones;
}
