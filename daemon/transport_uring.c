/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests over io_uring: buffers, and the life of the threads.
 *
 * The buffers are one shared memfd, at an address that is the same in each process as far as that is possible: what the
 * kernel remembers of an entry are addresses, so that a successor that has the memfd at the same place can take the
 * entries over. It is sparse: a page of it takes memory when a request has used it.
 */

#include "transport_uring.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "frontend.h"
#include "threads.h"
#include "transport_uring_internal.h"
#include "transport_uring_request.h"

/* Far from where programs, libraries, heaps and stacks are put. A hint: if it is taken, any other will do. */
#define BUFFERS_ADDRESS ((void *)0x200000000000)

unsigned int zsd_ring_depth = 4;

static size_t header_offset(unsigned int entry)
{
	return entry * ZS_PAGE_SIZE;
}

static size_t payload_offset(const struct zsd_uring *uring, unsigned int entry)
{
	return header_offset(uring->nr_entries) + entry * ZSD_FUSE_MAX_IO_BYTES;
}

static int map_buffers(struct zsd_uring *uring)
{
	void *buffers;

	uring->buffers_bytes = payload_offset(uring, uring->nr_entries);
	uring->buffers_fd = memfd_create("zsd-rings", MFD_CLOEXEC);
	if (uring->buffers_fd < 0 || ftruncate(uring->buffers_fd, (off_t)uring->buffers_bytes))
		return -errno;
	buffers = mmap(BUFFERS_ADDRESS, uring->buffers_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, uring->buffers_fd, 0);
	if (buffers == MAP_FAILED)
		return -errno;
	if (buffers != BUFFERS_ADDRESS)
		zs_log(ZS_LOG_NOTICE, "the buffers for io_uring are at %p, since %p is in use", buffers,
		       BUFFERS_ADDRESS);
	uring->buffers = buffers;
	return 0;
}

static void init_entry(struct zsd_uring *uring, unsigned int index)
{
	struct zsd_ring_entry *entry = &uring->entries[index];
	unsigned int queue = index / uring->depth;

	entry->header = (void *)(uring->buffers + header_offset(index));
	entry->payload = uring->buffers + payload_offset(uring, index);
	entry->parts[0] = (struct iovec){entry->header, sizeof(*entry->header)};
	entry->parts[1] = (struct iovec){entry->payload, ZSD_FUSE_MAX_IO_BYTES};
	entry->queue = (uint16_t)queue;
	entry->home = (uint16_t)zsd_placement_home(&uring->placement, queue);
}

static int make_entries(struct zsd_uring *uring)
{
	int r;

	uring->depth = zsd_ring_depth + (uring->options.may_wait ? ZSD_RING_WAITING_MAX : 0);
	uring->nr_entries = uring->placement.nr_queues * uring->depth;
	uring->entries = zs_calloc(uring->nr_entries, sizeof(*uring->entries));
	if (!uring->entries)
		return -ENOMEM;
	r = map_buffers(uring);
	for (unsigned int i = 0; !r && i < uring->nr_entries; i++)
		init_entry(uring, i);
	return r;
}

/* Zeros, for structures whose fields are kept apart. Free with free(3). */
static void *allocate_aligned(size_t nr, size_t size)
{
	void *memory = zs_fault() ? NULL : aligned_alloc(ZS_NO_SHARE, nr * size);

	return memory ? memset(memory, 0, nr * size) : NULL;
}

static int make_rings(struct zsd_uring *uring)
{
	unsigned int nr = zsd_uring_nr_rings(uring);
	int r = 0;

	uring->rings = allocate_aligned(nr, sizeof(*uring->rings));
	if (!uring->rings)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		struct zsd_ring *ring = &uring->rings[i];

		ring->uring = uring;
		ring->index = i;
		ring->server = (struct zsd_fuse_server){
			.ops = uring->options.ops,
			.frontend = uring->options.frontend,
			.nr_refused = &uring->nr_refused,
		};
	}
	for (unsigned int i = 0; !r && i < nr; i++)
		r = zsd_ring_init(&uring->rings[i]);
	return r;
}

/* waiting */

static void serve_waiting(void *context, const struct zsd_fuse_server *server, struct zsd_waiter_item *item)
{
	struct zsd_ring_entry *entry = zs_container_of(item, struct zsd_ring_entry, waiter);
	struct zsd_uring *uring = context;
	int r;

	zsd_ring_answer_waiting(server, entry);
	r = zsd_ring_post(&uring->rings[entry->home], entry, ZSD_RING_COMMIT);
	if (r)
		zsd_uring_fail(uring, "can't send an answer to its ring", r);
}

/* It fails when the connection ends. */
static void drop_waiting(void *context, struct zsd_waiter_item *item)
{
}

static int make_waiters(struct zsd_uring *uring)
{
	const struct zsd_waiters_options options = {
		.server = {.ops = uring->options.ops,
			   .frontend = uring->options.frontend,
			   .nr_refused = &uring->nr_refused},
		.first_index = uring->options.first_index + zsd_uring_nr_rings(uring),
		.serve = serve_waiting,
		.drop = drop_waiting,
		.context = uring,
	};

	return zsd_waiters_create(&options, &uring->waiters);
}

/* threads */

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) && errno == EINTR)
		continue;
}

static void *run(void *argument)
{
	struct zsd_ring *ring = argument;
	sigset_t signals;

	sigemptyset(&signals);
	/* Its handler is the classic transport's. */
	sigaddset(&signals, ZSD_PULSE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	wait_for(&ring->uring->go);
	if (ring->uring->is_started)
		zsd_ring_run(ring);
	ring->server.ops->thread_end(ring->server.frontend, ring->server.thread);
	return NULL;
}

static int start_thread(struct zsd_ring *ring)
{
	const struct zsd_uring_options *options = &ring->uring->options;
	char name[16];
	int r = options->ops->thread_begin(options->frontend, options->first_index + ring->index, &ring->server.thread);

	if (r)
		return r;
	/* Of what takes long, some more. */
	zsd_fuse_allow_wait(&ring->server, zsd_ring_is_slow_lane(ring));
	snprintf(name, sizeof(name), "zsd-ring-%u", ring->index);
	r = zsd_thread_start(zsd_ring_is_slow_lane(ring) ? "zsd-slow" : name, run, ring, &ring->thread);
	if (r)
		options->ops->thread_end(options->frontend, ring->server.thread);
	else
		ring->has_thread = true;
	return r;
}

/* They wait until `go`. */
static int start_threads(struct zsd_uring *uring)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < zsd_uring_nr_rings(uring); i++)
		r = start_thread(&uring->rings[i]);
	return r;
}

static void let_go(struct zsd_uring *uring)
{
	for (unsigned int i = 0; i < zsd_uring_nr_rings(uring); i++)
		sem_post(&uring->go);
}

/* life */

static void destroyp(struct zsd_uring **uring)
{
	zsd_uring_destroy(*uring);
}

static void place(struct zsd_uring *uring)
{
	const struct zsd_uring_options *options = &uring->options;

	if (options->placement)
		uring->placement = *options->placement;
	else
		zsd_placement_detect(options->max_threads, &uring->placement);
}

int zsd_uring_create(const struct zsd_uring_options *options, struct zsd_uring **ret_uring)
{
	ZS_CLEANUP(destroyp) struct zsd_uring *uring = allocate_aligned(1, sizeof(*uring));
	int r;

	if (!uring)
		return -ENOMEM;
	uring->options = *options;
	uring->buffers_fd = -1;
	sem_init(&uring->go, 0, 0);
	sem_init(&uring->started, 0, 0);
	place(uring);
	uring->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uring->stop_fd < 0)
		return -errno;
	r = make_entries(uring);
	if (!r)
		r = make_waiters(uring);
	if (!r)
		r = make_rings(uring);
	if (!r)
		r = start_threads(uring);
	if (r)
		return r;
	*ret_uring = zs_take(uring);
	return 0;
}

const char *zsd_uring_remedy(int error)
{
	switch (error) {
	case -EAGAIN:
		return "check 'ulimit -u' and the limits of the service";
	case -ENOMEM:
		return "check 'ulimit -l' and the limits of the service";
	default:
		return "check 'sysctl kernel.io_uring_disabled' and 'ulimit -n'";
	}
}

int zsd_uring_start(struct zsd_uring *uring)
{
	int r = 0;

	uring->is_started = true;
	pthread_barrier_init(&uring->leaving, NULL, zsd_uring_nr_rings(uring));
	let_go(uring);
	for (unsigned int i = 0; i < zsd_uring_nr_rings(uring); i++)
		wait_for(&uring->started);
	for (unsigned int i = 0; !r && i < zsd_uring_nr_rings(uring); i++)
		r = uring->rings[i].result;
	return r;
}

/* Those that serve end when all of them have been told to, those that wait for their start at once. */
static void end_threads(struct zsd_uring *uring)
{
	unsigned int nr = zsd_uring_nr_rings(uring);
	uint64_t one = 1;

	if (!uring->is_started)
		let_go(uring);
	atomic_store_explicit(&uring->stopping, true, memory_order_relaxed);
	/* An eventfd takes 8 bytes. */
	if (write(uring->stop_fd, &one, sizeof(one)) < 0)
		zs_log(ZS_LOG_ERR, "can't stop the threads: %s", strerror(errno));
	for (unsigned int i = 0; i < nr; i++) {
		if (uring->rings[i].has_thread)
			pthread_join(uring->rings[i].thread, NULL);
	}
	if (uring->is_started)
		pthread_barrier_destroy(&uring->leaving);
	/* Only now: messages between them must find a ring. */
	for (unsigned int i = 0; i < nr; i++)
		zsd_ring_deinit(&uring->rings[i]);
}

void zsd_uring_destroy(struct zsd_uring *uring)
{
	if (!uring)
		return;
	/* While the rings take their answers. */
	zsd_waiters_stop(uring->waiters);
	if (uring->rings)
		end_threads(uring);
	zsd_waiters_destroy(uring->waiters);
	free(uring->rings);
	free(uring->entries);
	if (uring->buffers)
		munmap(uring->buffers, uring->buffers_bytes);
	if (uring->buffers_fd >= 0)
		close(uring->buffers_fd);
	if (uring->stop_fd >= 0)
		close(uring->stop_fd);
	sem_destroy(&uring->started);
	sem_destroy(&uring->go);
	free(uring);
}

bool zsd_uring_has_failed(const struct zsd_uring *uring)
{
	return atomic_load_explicit(&uring->failed, memory_order_relaxed);
}

uint64_t zsd_uring_nr_refused(const struct zsd_uring *uring)
{
	return atomic_load_explicit(&uring->nr_refused, memory_order_relaxed);
}

unsigned int zsd_uring_roll_call(struct zsd_uring *uring)
{
	unsigned int nr_hanging = 0;

	/* The slow lane is right to take long. */
	for (unsigned int i = 0; i < uring->placement.nr_threads; i++)
		nr_hanging += !zsd_pulse_call(&uring->rings[i].pulse, uring->rings[i].thread);
	return nr_hanging;
}

const char *zsd_uring_describe(const struct zsd_uring *uring, char *text, size_t size)
{
	const struct zsd_placement *placement = &uring->placement;

	snprintf(text, size, "%u thread%s over io_uring, %u queues", placement->nr_threads,
		 placement->nr_threads == 1 ? "" : "s", placement->nr_queues);
	return text;
}
