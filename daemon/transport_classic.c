/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic transport: read(2) and writev(2) on /dev/fuse, by threads with a descriptor each.
 *
 * A descriptor of its own (FUSE_DEV_IOC_CLONE) spares a thread the lock of the list on which the kernel keeps what was
 * read and isn't answered yet; an answer must go to the descriptor that the request came from. Who can't open
 * /dev/fuse (a daemon that got its mount from fusermount3) shares the mount's descriptor, which works as well.
 *
 * The thread that creates the transport serves the first request, INIT, and starts the others then. They serve frequent
 * requests themselves (fuse_request.h) and give the others to libfuse, whose answers come back through write_reply() in
 * the same thread, so that a thread-local variable is all it takes to find the descriptor.
 *
 * A thread leaves when reading says that the connection has ended, or when it is told to: `stopping` is set and a
 * signal interrupts its read. A signal that comes between the test and the read is lost; so it is repeated until the
 * thread has left.
 */

#define FUSE_USE_VERSION 312

#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "frontend.h"
#include "fuse_names.h"
#include "fuse_request.h"
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
	struct zsd_transport *transport;
	struct zsd_fuse_server server; /* owner thread only */
	unsigned int index;
	int fd; /* own clone, or the mount's */
	bool cloned;
	char *buffer; /* BUFFER_BYTES, page-aligned */
	pthread_t thread;
	_Atomic bool left;
};

struct zsd_transport {
	const struct zsd_frontend_ops *ops;
	void *frontend;
	int fuse_fd;  /* borrowed */
	int ended_fd; /* eventfd */
	struct fuse_session *session;
	struct zsd_fuse_names names;
	_Atomic bool stopping;
	_Atomic unsigned int nr_serving; /* threads that have not left */
	unsigned int nr_clones;
	unsigned int nr_workers; /* with a running or finished thread */
	struct worker workers[];
};

/* Where the calling thread's answers go; -1: to the descriptor that libfuse knows. */
static _Thread_local int reply_fd = -1;

/* libfuse */

static ssize_t write_reply(int fd, struct iovec *parts, int nr_parts, void *userdata)
{
	return writev(reply_fd >= 0 ? reply_fd : fd, parts, nr_parts);
}

/* libfuse wants this one, and doesn't call it: requests are read here. */
static ssize_t read_request(int fd, void *buffer, size_t length, void *userdata)
{
	return read(fd, buffer, length);
}

__attribute__((format(printf, 2, 0))) static void log_libfuse(enum fuse_log_level level, const char *format,
							      va_list arguments)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	zs_log(level <= FUSE_LOG_ERR ? ZS_LOG_ERR : ZS_LOG_DEBUG, "libfuse: %s", line);
}

static int make_session(struct zsd_transport *transport)
{
	static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};
	char *arguments[] = {(char[]){"zsd"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, arguments);

	fuse_set_log_func(log_libfuse);
	transport->session = fuse_session_new(&args, &zsd_fuse_names_ops, sizeof(zsd_fuse_names_ops),
					      &transport->names);
	fuse_opt_free_args(&args); /* it has made a copy of ours in there */
	if (!transport->session)
		return -ENOMEM;
	/* Ownership of the descriptor goes to the session: it closes it in fuse_session_destroy(). */
	transport->fuse_fd = fcntl(transport->fuse_fd, F_DUPFD_CLOEXEC, 0);
	if (transport->fuse_fd < 0)
		return -errno;
	if (fuse_session_custom_io(transport->session, &io, transport->fuse_fd)) {
		close(transport->fuse_fd);
		return -ENOMEM;
	}
	return 0;
}

static void serve_rare(struct zsd_transport *transport, void *bytes, size_t length)
{
	struct fuse_buf buffer = {.size = length, .mem = bytes};

	fuse_session_process_buf(transport->session, &buffer);
}

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
		serve_rare(worker->transport, bytes, length);
		break;
	case ZSD_FUSE_SILENT:
		break;
	}
}

static void serve_until_end(struct worker *worker)
{
	char *bytes = worker->buffer + REQUEST_OFFSET;

	while (!atomic_load_explicit(&worker->transport->stopping, memory_order_relaxed)) {
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
	struct zsd_transport *transport = worker->transport;
	uint64_t one = 1;

	atomic_store(&worker->left, true);
	if (atomic_fetch_sub(&transport->nr_serving, 1) != 1 || atomic_load(&transport->stopping))
		return;
	if (write(transport->ended_fd, &one, sizeof(one)) < 0)
		zs_log(ZS_LOG_ERR, "can't report the end of the FUSE connection: %s", strerror(errno));
}

static void *run(void *argument)
{
	struct worker *worker = argument;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, STOP_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	reply_fd = worker->fd;
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

static int init_worker(struct zsd_transport *transport, struct worker *worker, unsigned int index)
{
	int fd = clone_fd(transport->fuse_fd);
	void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*worker = (struct worker){
		.transport = transport,
		.server = {.ops = transport->ops, .frontend = transport->frontend},
		.index = index,
		.fd = fd >= 0 ? fd : transport->fuse_fd,
		.cloned = fd >= 0,
		.buffer = buffer == MAP_FAILED ? NULL : buffer,
	};
	return worker->buffer ? 0 : -ENOMEM;
}

static int start_worker(struct zsd_transport *transport)
{
	unsigned int index = transport->nr_workers;
	struct worker *worker = &transport->workers[index];
	char name[16];
	int r = init_worker(transport, worker, index);

	if (!r)
		r = transport->ops->thread_begin(transport->frontend, index, &worker->server.thread);
	if (r) {
		deinit_worker(worker);
		return r;
	}
	snprintf(name, sizeof(name), "zsd-fuse-%u", index);
	atomic_fetch_add(&transport->nr_serving, 1);
	r = zsd_thread_start(name, run, worker, &worker->thread);
	if (r) {
		atomic_fetch_sub(&transport->nr_serving, 1);
		transport->ops->thread_end(transport->frontend, worker->server.thread);
		deinit_worker(worker);
		return r;
	}
	transport->nr_clones += worker->cloned;
	transport->nr_workers++;
	return 0;
}

/* The kernel sends nothing else before INIT is answered. */
static int serve_init(struct zsd_transport *transport)
{
	void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct zsd_fuse_in_header *header = buffer;
	ssize_t length = 0;

	if (buffer == MAP_FAILED)
		return -ENOMEM;
	while (!transport->names.ready) {
		length = receive(transport->fuse_fd, buffer);
		if (length == -EAGAIN)
			continue;
		if (length < 0)
			break;
		if (length < (ssize_t)sizeof(*header) || header->opcode != ZSD_FUSE_INIT) {
			length = -EPROTO;
			break;
		}
		serve_rare(transport, buffer, (size_t)length);
	}
	munmap(buffer, BUFFER_BYTES);
	return length < 0 ? (int)length : 0;
}

static int start(struct zsd_transport *transport, unsigned int nr_threads)
{
	int r;

	transport->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->ended_fd < 0)
		return -errno;
	r = handle_stop_signal();
	if (!r)
		r = make_session(transport);
	if (!r)
		r = serve_init(transport);
	for (unsigned int i = 0; !r && i < nr_threads; i++)
		r = start_worker(transport);
	return r;
}

static void destroyp(struct zsd_transport **transport)
{
	if (*transport)
		zsd_transport_destroy(*transport);
}

int zsd_transport_create(const struct zsd_transport_options *options, const struct zsd_frontend_ops *ops,
			 void *frontend, struct zsd_transport **ret_transport)
{
	size_t size = sizeof(struct zsd_transport) + options->nr_threads * sizeof(struct worker);
	ZS_CLEANUP(destroyp) struct zsd_transport *transport = zs_calloc(1, size);
	int r;

	zs_assert(options->nr_threads > 0);
	if (!transport)
		return -ENOMEM;
	transport->ops = ops;
	transport->frontend = frontend;
	transport->fuse_fd = options->fuse_fd;
	transport->ended_fd = -1;
	transport->names = (struct zsd_fuse_names){.ops = ops, .frontend = frontend};
	r = start(transport, options->nr_threads);
	if (r)
		return r;
	*ret_transport = zs_take(transport);
	return 0;
}

/* How many were still there. */
static unsigned int interrupt_workers(struct zsd_transport *transport)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < transport->nr_workers; i++) {
		if (atomic_load(&transport->workers[i].left))
			continue;
		pthread_kill(transport->workers[i].thread, STOP_SIGNAL);
		nr++;
	}
	return nr;
}

void zsd_transport_destroy(struct zsd_transport *transport)
{
	const struct timespec interval = {.tv_nsec = STOP_INTERVAL_NSEC};

	atomic_store(&transport->stopping, true);
	while (interrupt_workers(transport))
		nanosleep(&interval, NULL);
	for (unsigned int i = 0; i < transport->nr_workers; i++) {
		pthread_join(transport->workers[i].thread, NULL);
		deinit_worker(&transport->workers[i]);
	}
	if (transport->session)
		fuse_session_destroy(transport->session);
	if (transport->ended_fd >= 0)
		close(transport->ended_fd);
	free(transport);
}

int zsd_transport_ended_fd(const struct zsd_transport *transport)
{
	return transport->ended_fd;
}

unsigned int zsd_transport_nr_clones(const struct zsd_transport *transport)
{
	return transport->nr_clones;
}

void zsd_transport_forget_name(struct zsd_transport *transport, uint64_t node, const char *name)
{
	/* ENOENT: the kernel doesn't know the name, or not for this node. EBUSY: somebody mounted something on it. */
	int r = fuse_lowlevel_notify_delete(transport->session, ZSD_ROOT_NODE, node, name, strlen(name));

	if (r && r != -ENOENT)
		fuse_lowlevel_notify_inval_entry(transport->session, ZSD_ROOT_NODE, name, strlen(name));
}
