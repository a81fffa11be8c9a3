/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic transport.
 *
 * A descriptor of its own (FUSE_DEV_IOC_CLONE) spares a thread the lock of the list on which the kernel keeps what was
 * read and isn't answered yet; an answer must go to the descriptor that the request came from. Who can't open
 * /dev/fuse (a daemon that got its mount from fusermount3) shares the mount's descriptor, which works as well.
 *
 * The threads serve frequent requests themselves (fuse_request.h) and give the others to libfuse, and those that take
 * long to the slow lane. What has to wait for a disk is given to waiters, which are made when they are needed.
 *
 * Polling. After a request the next one often comes soon, and sleeping until then costs two wake-ups: of the thread,
 * and of the client, whose CPU goes to sleep as well. So a thread looks for it for a window (crew.h) before it sleeps.
 * The kernel wakes a sleeping reader for each request even if another thread looks, so only one that is alone looks:
 *
 *	alone		asks again and again until there is a request, or the window has passed; then sleeps in read(2)
 *	with others	sleeps in read(2): the CPUs are busy, and looking would take them from the clients
 *	off		sleeps on a futex until it is called
 *
 * No request is left alone: one thread at least is always at work. It looks or sleeps, and the kernel shows it the
 * request or wakes it; or it serves another one, and if that takes long the crew's guard calls another thread.
 *
 * Without polling (poll_max_nsec 0) all threads sleep in read(2), and the kernel wakes them in turn.
 *
 * A thread leaves when reading says that the connection has ended, or when it is told to: `stopping` is set and a
 * signal interrupts its sleep. A signal that comes between the test and the sleep is lost; so it is repeated until the
 * thread has left.
 */

#include "transport_classic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "crew.h"
#include "frontend.h"
#include "pulse.h"
#include "threads.h"
#include "transport_classic_lane.h"
#include "transport_classic_request.h"
#include "transport_classic_wait.h"

#define STOP_INTERVAL_NSEC 2000000

/* How many requests are taken without asking whether they are there at once, where nobody looks for them. */
#define UNASKED_MAX 7

/* One thread. Owned by it, except where noted. */
struct worker {
	struct zsd_classic *classic;
	struct zsd_classic_port port; /* its descriptor is an own clone, or the mount's */
	unsigned int index;
	bool cloned;
	struct zsd_crew_member *member;
	struct zsd_pulse pulse;
	struct zsd_tally tally;
	struct zsd_window window;
	bool has_backlog; /* when it asked last */
	unsigned int nr_unasked;
	pthread_t thread;  /* of who creates and destroys */
	_Atomic bool left; /* any thread */
};

struct zsd_classic {
	struct zsd_classic_options options;
	_Atomic bool stopping;
	_Atomic unsigned int nr_serving; /* threads that have not left */
	_Atomic uint64_t nr_refused;	 /* relaxed, statistics */
	unsigned int nr_clones;
	struct zsd_classic_lane *lane; /* NULL: none; immutable once a thread runs, like the next one */
	struct zsd_classic_wait *wait;
	struct zsd_crew crew;
	struct zsd_crew_member *members;
	unsigned int nr_workers; /* with a running or finished thread */
	struct worker workers[];
};

/* requests */

/* Returns the length of a request, or -errno; -EAGAIN if there is nothing to serve this time. */
static ssize_t receive(struct worker *worker)
{
	ssize_t length;

	zsd_pulse_look(&worker->pulse);
	length = zsd_classic_receive(&worker->port);
	if (length >= 0)
		zsd_pulse_serve(&worker->pulse);
	return length;
}

static bool is_stopping(const struct worker *worker)
{
	return atomic_load_explicit(&worker->classic->stopping, memory_order_relaxed);
}

static void report(int error)
{
	if (error != -ENODEV)
		zs_log(ZS_LOG_ERR, "can't read requests from /dev/fuse: %s", strerror(-error));
}

/* Sleeps in read(2). */
static void serve_blocking(struct worker *worker)
{
	ssize_t length;

	while (!is_stopping(worker)) {
		length = receive(worker);
		if (length >= 0)
			zsd_classic_serve(&worker->port, (size_t)length);
		else if (length != -EAGAIN)
			return report((int)length);
	}
}

/* polling */

/* Until called. Returns 0, or -ECANCELED if that won't happen any more. */
static int stay_off(struct worker *worker)
{
	struct zsd_crew *crew = &worker->classic->crew;

	/* The request at hand, if there was one, is over: who is off may be called by the watchdog, too. */
	zsd_pulse_look(&worker->pulse);
	while (!zsd_crew_wait(crew, worker->member)) {
		if (is_stopping(worker) || zsd_crew_has_ended(crew))
			return -ECANCELED;
		zsd_pulse_look(&worker->pulse);
	}
	return 0;
}

/* Whether a request is there. */
static bool ask(const struct worker *worker)
{
	struct pollfd request = {.fd = worker->port.fd, .events = POLLIN};

	return poll(&request, 1, 0) != 0;
}

/* Until there is one, but not longer than it has been worth it lately. */
static void look(struct worker *worker)
{
	uint64_t before_nsec = zs_clock_nsec(), now = before_nsec;
	uint64_t end_nsec = now + zsd_window_open(&worker->window, now);

	while (now < end_nsec && !ask(worker)) {
		now = zs_clock_nsec();
		if (zsd_window_check(&worker->window, before_nsec, now))
			return;
		before_nsec = now;
	}
}

/* Sleeps until there is a request. Returns its length, or -errno as receive() does. */
static ssize_t rest(struct worker *worker)
{
	ssize_t length;

	zsd_crew_rest_begin(worker->member);
	length = receive(worker);
	zsd_crew_rest_end(&worker->classic->crew, worker->member);
	return length;
}

/* As rest(). What is known to come soon, or at once, is not asked for each time. */
static ssize_t next_request(struct worker *worker, enum zsd_arrival *ret_arrival)
{
	bool is_alone = zsd_crew_is_alone(&worker->classic->crew);
	uint64_t begin_nsec;
	ssize_t length;

	*ret_arrival = ZSD_UNKNOWN;
	if (worker->nr_unasked < UNASKED_MAX && (!is_alone || worker->has_backlog)) {
		worker->nr_unasked++;
		return rest(worker);
	}
	worker->nr_unasked = 0;
	worker->has_backlog = ask(worker);
	*ret_arrival = worker->has_backlog ? ZSD_AT_ONCE : ZSD_LATER;
	if (worker->has_backlog || !is_alone)
		return rest(worker);
	begin_nsec = zs_clock_nsec();
	look(worker);
	length = rest(worker);
	zsd_window_adapt(&worker->window, zs_clock_nsec() - begin_nsec);
	return length;
}

/* Only what is asked for is measured as well. */
static void serve_counted(struct worker *worker, size_t length, bool is_measured)
{
	uint64_t begin_nsec = is_measured ? zs_clock_nsec() : 0;

	zsd_crew_serve_begin(worker->member);
	zsd_classic_serve(&worker->port, length);
	zsd_crew_serve_end(worker->member);
	if (is_measured)
		worker->tally.work_nsec += zs_clock_nsec() - begin_nsec;
}

/* Returns 0, or -ECANCELED if the thread is off and won't be called. */
static int serve_at_work(struct worker *worker, size_t length, enum zsd_arrival arrival)
{
	struct zsd_crew *crew = &worker->classic->crew;
	const struct zsd_fuse_in_header *header = zsd_classic_request(&worker->port);
	/* Who asks; shorter than a header is nothing that we know. */
	uint32_t client = length >= sizeof(*header) ? header->pid : 0;
	enum zsd_advice advice = zsd_tally_count(&worker->tally, client, arrival);

	if (advice == ZSD_CALL)
		zsd_crew_call(crew);
	serve_counted(worker, length, arrival != ZSD_UNKNOWN);
	if (advice == ZSD_LEAVE && zsd_crew_leave(crew, worker->member))
		return stay_off(worker);
	return 0;
}

static void serve_polling(struct worker *worker)
{
	enum zsd_arrival arrival;
	ssize_t length = stay_off(worker);

	while ((length >= 0 || length == -EAGAIN) && !is_stopping(worker)) {
		length = next_request(worker, &arrival);
		if (length >= 0)
			length = serve_at_work(worker, (size_t)length, arrival);
	}
	if (length < 0 && length != -EAGAIN && length != -ECANCELED)
		report((int)length);
	zsd_crew_end(&worker->classic->crew);
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
	sigaddset(&signals, ZSD_PULSE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	if (worker->classic->options.poll_max_nsec)
		serve_polling(worker);
	else
		serve_blocking(worker);
	worker->port.server.ops->thread_end(worker->port.server.frontend, worker->port.server.thread);
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

	return sigaction(ZSD_PULSE_SIGNAL, &action, NULL) ? -errno : 0;
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
		close(worker->port.fd);
	if (worker->port.buffer)
		munmap(worker->port.buffer, ZSD_CLASSIC_BUFFER_BYTES);
}

static struct zsd_fuse_server make_server(struct zsd_classic *classic)
{
	return (struct zsd_fuse_server){
		.ops = classic->options.ops,
		.frontend = classic->options.frontend,
		.nr_refused = &classic->nr_refused,
	};
}

static int init_worker(struct zsd_classic *classic, struct worker *worker, unsigned int index)
{
	int fd = clone_fd(classic->options.fuse_fd);
	void *buffer = mmap(NULL, ZSD_CLASSIC_BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*worker = (struct worker){
		.classic = classic,
		.port =
			{
				.fd = fd >= 0 ? fd : classic->options.fuse_fd,
				.server = make_server(classic),
				.session = classic->options.session,
				.lane = classic->lane,
				.wait = classic->wait,
				.pulse = &worker->pulse,
				.buffer = buffer == MAP_FAILED ? NULL : buffer,
			},
		.index = index,
		.member = &classic->members[index],
		.window = {.max_nsec = classic->options.poll_max_nsec},
		.cloned = fd >= 0,
	};
	if (!worker->port.buffer)
		return -ENOMEM;
	return 0;
}

static int start_worker(struct zsd_classic *classic)
{
	unsigned int index = classic->nr_workers;
	struct worker *worker = &classic->workers[index];
	char name[16];
	int r = init_worker(classic, worker, index);

	if (!r)
		r = classic->options.ops->thread_begin(classic->options.frontend, index, &worker->port.server.thread);
	if (r) {
		deinit_worker(worker);
		return r;
	}
	snprintf(name, sizeof(name), "zsd-fuse-%u", index);
	atomic_fetch_add(&classic->nr_serving, 1);
	r = zsd_thread_start(name, run, worker, &worker->thread);
	if (r) {
		atomic_fetch_sub(&classic->nr_serving, 1);
		classic->options.ops->thread_end(classic->options.frontend, worker->port.server.thread);
		deinit_worker(worker);
		return r;
	}
	classic->nr_clones += worker->cloned;
	classic->nr_workers++;
	return 0;
}

/* What serves beside the workers. */
static int start_lanes(struct zsd_classic *classic)
{
	const struct zsd_classic_options *options = &classic->options;
	const struct zsd_fuse_server server = make_server(classic);
	int r;

	if (!options->has_lane)
		return 0;
	r = zsd_classic_wait_create(&server, options->nr_threads + 1, &classic->wait);
	return r ?: zsd_classic_lane_create(&server, options->nr_threads, &classic->lane);
}

static int start_threads(struct zsd_classic *classic)
{
	int r = start_lanes(classic);

	if (!r && classic->options.poll_max_nsec)
		r = zsd_crew_start_guard(&classic->crew);

	for (unsigned int i = 0; !r && i < classic->options.nr_threads; i++)
		r = start_worker(classic);
	return r;
}

static int make_crew(struct zsd_classic *classic)
{
	unsigned int nr = classic->options.nr_threads;

	classic->members = zs_fault() ? NULL : aligned_alloc(ZS_NO_SHARE, nr * sizeof(*classic->members));
	if (!classic->members)
		return -ENOMEM;
	zsd_crew_init(&classic->crew, classic->members, nr);
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
	r = make_crew(classic);
	if (!r)
		r = handle_stop_signal();
	if (!r)
		r = start_threads(classic);
	if (r)
		return r;
	*ret_classic = zs_take(classic);
	return 0;
}

unsigned int zsd_classic_roll_call(struct zsd_classic *classic)
{
	unsigned int nr_hanging = 0;

	for (struct worker *worker = classic->workers; worker < classic->workers + classic->nr_workers; worker++)
		nr_hanging += !atomic_load(&worker->left) && !zsd_pulse_call(&worker->pulse, worker->thread);
	return nr_hanging;
}

/* How many were still there. */
static unsigned int interrupt_workers(struct zsd_classic *classic)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < classic->nr_workers; i++) {
		if (atomic_load(&classic->workers[i].left))
			continue;
		pthread_kill(classic->workers[i].thread, ZSD_PULSE_SIGNAL);
		nr++;
	}
	return nr;
}

void zsd_classic_destroy(struct zsd_classic *classic)
{
	const struct timespec interval = {.tv_nsec = STOP_INTERVAL_NSEC};

	if (!classic)
		return;
	/* What they don't take any more the workers do themselves. */
	zsd_classic_wait_stop(classic->wait);
	atomic_store(&classic->stopping, true);
	zsd_crew_end(&classic->crew);
	while (interrupt_workers(classic))
		nanosleep(&interval, NULL);
	for (unsigned int i = 0; i < classic->nr_workers; i++)
		pthread_join(classic->workers[i].thread, NULL);
	/* It answers on their descriptors. */
	zsd_classic_lane_destroy(classic->lane);
	zsd_classic_wait_destroy(classic->wait);
	for (unsigned int i = 0; i < classic->nr_workers; i++)
		deinit_worker(&classic->workers[i]);
	zsd_crew_join_guard(&classic->crew);
	free(classic->members);
	free(classic);
}

unsigned int zsd_classic_nr_clones(const struct zsd_classic *classic)
{
	return classic->nr_clones;
}

uint64_t zsd_classic_nr_refused(const struct zsd_classic *classic)
{
	return atomic_load_explicit(&classic->nr_refused, memory_order_relaxed);
}
