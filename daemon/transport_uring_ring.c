/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring: one thread that takes requests, answers them, and gives the answers back.
 *
 * Giving an answer back fetches the entry's next request in the same command, for the thread that does it. So an entry
 * stays with its thread, unless one of two things is better:
 *
 *   large requests, more than one at hand      one of them goes to a thread that sleeps (SERVE), which answers it and
 *                                              keeps the entry: while large requests are waiting in the queue, each
 *                                              thread takes its next one there by itself
 *   a small request of another thread's queue  the answer goes to that thread (COMMIT), and with it the entry: the
 *                                              kernel prefers the entry that became free last, and each further
 *                                              request would have to wake a distant CPU
 *
 * Small requests are never given away: a wake-up of another CPU takes longer than they do.
 *
 * Requests of the same queue that find no free entry wait in the kernel. Few entries are enough to keep a thread at
 * work, since what waits is fetched with the answer; more of them would hand a thread more than it can do while others
 * are idle.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "transport_uring_internal.h"
#include "transport_uring_request.h"

/* Commands that are submitted together. */
#define SUBMISSIONS 64
/* Completions that are looked at together. */
#define BATCH 32

static uint64_t pack(const struct zsd_ring_entry *entry, enum zsd_ring_message message)
{
	return (uint64_t)(uintptr_t)entry | message;
}

static struct zsd_ring_entry *entry_of(uint64_t data)
{
	return (void *)(uintptr_t)(data & ~ZSD_RING_MESSAGE_MASK);
}

/* life */

int zsd_ring_init(struct zsd_ring *ring)
{
	/*
	 * DEFER_TASKRUN: a request is copied in when the thread is ready for it, and not in the middle of another one.
	 * R_DISABLED: the thread that enables the ring becomes its only user.
	 */
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
			 IORING_SETUP_CLAMP,
		/* An entry has a completion and a message on its way at most: none is ever dropped. */
		.cq_entries = (uint32_t)zs_max(2 * SUBMISSIONS, 2 * ring->uring->nr_entries),
	};
	int r;

	ring->scratch = zs_malloc(ZSD_RING_SCRATCH_BYTES);
	if (!ring->scratch)
		return -ENOMEM;
	r = io_uring_queue_init_params(SUBMISSIONS, &ring->io, &params);
	if (r)
		return r;
	ring->has_io = true;
	return 0;
}

void zsd_ring_deinit(struct zsd_ring *ring)
{
	if (ring->has_io)
		io_uring_queue_exit(&ring->io);
	free(ring->scratch);
}

/* submissions */

/* A cleared one; what is waiting is submitted if there is no other. */
static struct io_uring_sqe *get_sqe(struct zsd_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

	while (!sqe) {
		io_uring_submit(&ring->io);
		sqe = io_uring_get_sqe(&ring->io);
	}
	memset(sqe, 0, 2 * sizeof(*sqe)); /* SQE128 */
	return sqe;
}

static void command(struct zsd_ring *ring, struct zsd_ring_entry *entry, enum zsd_fuse_ring_operation operation)
{
	struct io_uring_sqe *sqe = get_sqe(ring);
	const struct zsd_fuse_ring_command what = {.commit_id = entry->header->commit_id, .queue = entry->queue};

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = ring->uring->options.fuse_fd;
	sqe->cmd_op = operation;
	sqe->user_data = pack(entry, ZSD_RING_FUSE);
	if (operation == ZSD_FUSE_RING_REGISTER) {
		sqe->addr = (uintptr_t)entry->parts;
		sqe->len = ZS_ARRAY_SIZE(entry->parts);
	}
	memcpy(sqe->cmd, &what, sizeof(what));
}

static void send_to(struct zsd_ring *ring, struct zsd_ring *target, struct zsd_ring_entry *entry,
		    enum zsd_ring_message message)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	atomic_store_explicit(&entry->message, message, memory_order_release);
	io_uring_prep_msg_ring(sqe, target->io.ring_fd, 0, pack(entry, message), 0);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = pack(entry, ZSD_RING_UNSENT);
}

/* Its completion has no entry. */
static void watch_stop(struct zsd_ring *ring)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	io_uring_prep_poll_add(sqe, ring->uring->stop_fd, POLLIN);
	sqe->user_data = 0;
}

/* work */

static bool is_home(const struct zsd_ring *ring, const struct zsd_ring_entry *entry)
{
	return entry->home == ring->index;
}

/* Gives the answer in it to the kernel. */
static void commit(struct zsd_ring *ring, struct zsd_ring_entry *entry, bool is_large)
{
	struct zsd_ring *home = &ring->uring->rings[entry->home];

	/* Not to a thread that has work at hand: the answer would wait for all of it. */
	if (!is_large && home != ring && atomic_load_explicit(&home->asleep, memory_order_relaxed)) {
		send_to(ring, home, entry, ZSD_RING_COMMIT);
		return;
	}
	command(ring, entry, ZSD_FUSE_RING_COMMIT_AND_FETCH);
	/* Nobody should wait for the next large one. */
	if (is_large)
		io_uring_submit(&ring->io);
}

/* Returns how much work it was. */
static unsigned int serve(struct zsd_ring *ring, struct zsd_ring_entry *entry)
{
	unsigned int work = zsd_ring_work(entry);
	bool is_large = zsd_ring_is_large(entry);

	zsd_ring_answer(ring, entry);
	commit(ring, entry, is_large);
	return work;
}

/* One that sleeps, which is not offered to anybody else then; NULL if there is none. */
static struct zsd_ring *find_idle(struct zsd_ring *ring)
{
	struct zsd_uring *uring = ring->uring;
	unsigned int nr = uring->placement.nr_threads;

	for (unsigned int i = 1; i < nr; i++) {
		struct zsd_ring *other = &uring->rings[(ring->index + i) % nr];

		if (atomic_load_explicit(&other->asleep, memory_order_relaxed) &&
		    atomic_exchange_explicit(&other->asleep, false, memory_order_relaxed))
			return other;
	}
	return NULL;
}

/* Gives large requests to threads that sleep, all but one. Returns how many are left. */
static unsigned int share(struct zsd_ring *ring, struct zsd_ring_entry **entries, unsigned int nr)
{
	struct zsd_ring *other;
	unsigned int kept = nr;

	while (kept > 1 && zsd_ring_is_large(entries[kept - 1]) && (other = find_idle(ring)))
		send_to(ring, other, entries[--kept], ZSD_RING_SERVE);
	/* They are to begin now, not when we are done with the others. */
	if (kept < nr)
		io_uring_submit(&ring->io);
	return kept;
}

/* completions */

/* The kernel's end of the connection; that is told by the thread that reads /dev/fuse. */
static bool is_ended(int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED || error == -ECANCELED;
}

/* What one completion says. Returns an entry with a request to answer, or NULL. */
static struct zsd_ring_entry *take(struct zsd_ring *ring, const struct io_uring_cqe *cqe)
{
	struct zsd_ring_entry *entry = entry_of(cqe->user_data);
	enum zsd_ring_message message = cqe->user_data & ZSD_RING_MESSAGE_MASK;

	if (!entry) {
		ring->leaving = true;
		return NULL;
	}
	if (message == ZSD_RING_FUSE && cqe->res < 0) {
		if (!is_ended(cqe->res))
			zs_log(ZS_LOG_ERR, "queue %u of the FUSE connection has lost a buffer: %s", entry->queue,
			       strerror(-cqe->res));
		return NULL;
	}
	/* What another thread wants done; if it was meant for one that is gone we do it ourselves. */
	if (message != ZSD_RING_FUSE)
		message = atomic_load_explicit(&entry->message, memory_order_acquire);
	if (message == ZSD_RING_COMMIT) {
		command(ring, entry, ZSD_FUSE_RING_COMMIT_AND_FETCH);
		return NULL;
	}
	return entry;
}

/* Takes what has come. Returns how many requests. */
static unsigned int harvest(struct zsd_ring *ring, struct zsd_ring_entry *ret_entries[static BATCH])
{
	struct io_uring_cqe *cqes[BATCH];
	unsigned int nr_cqes = io_uring_peek_batch_cqe(&ring->io, cqes, BATCH);
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_cqes; i++) {
		ret_entries[nr] = take(ring, cqes[i]);
		if (ret_entries[nr])
			nr++;
	}
	io_uring_cq_advance(&ring->io, nr_cqes);
	return nr;
}

/* Submits, and waits for a completion. False if that is not possible any more. */
static bool wait_for_work(struct zsd_ring *ring)
{
	int r;

	atomic_store_explicit(&ring->asleep, true, memory_order_relaxed);
	r = io_uring_submit_and_wait(&ring->io, 1);
	atomic_store_explicit(&ring->asleep, false, memory_order_relaxed);
	/* Passing lack of memory, a signal, or completions to be looked at first. */
	if (r >= 0 || r == -EAGAIN || r == -EINTR || r == -EBUSY)
		return true;
	zs_log(ZS_LOG_ERR, "can't wait for requests over io_uring: %s", strerror(-r));
	return false;
}

static void serve_until_stopped(struct zsd_ring *ring)
{
	struct zsd_ring_entry *entries[BATCH];

	while (!ring->leaving && wait_for_work(ring)) {
		unsigned int nr = harvest(ring, entries), work = 0;

		nr = share(ring, entries, nr);
		for (unsigned int i = 0; i < nr; i++)
			work += serve(ring, entries[i]);
		zsd_pin_worked(&ring->uring->placement, ring->index, work);
	}
	/* The answers; sleeping for more is over. */
	io_uring_submit(&ring->io);
}

/* start */

/* A command that the kernel refuses completes at once. Completions stay where they are. */
static int find_error(struct zsd_ring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned int head;

	io_uring_for_each_cqe(&ring->io, head, cqe)
	{
		if (cqe->res < 0)
			return cqe->res;
	}
	return 0;
}

static int register_entries(struct zsd_ring *ring)
{
	struct zsd_uring *uring = ring->uring;
	/* liburing 2.3 forgot to export io_uring_enable_rings(). */
	int r = io_uring_register((unsigned int)ring->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	if (r < 0)
		return r;
	watch_stop(ring);
	for (unsigned int i = 0; i < uring->nr_entries; i++) {
		if (is_home(ring, &uring->entries[i]))
			command(ring, &uring->entries[i], ZSD_FUSE_RING_REGISTER);
	}
	r = io_uring_submit(&ring->io);
	return r < 0 ? r : find_error(ring);
}

void zsd_ring_run(struct zsd_ring *ring)
{
	int r;

	zsd_pin_start(&ring->uring->placement, ring->index);
	r = register_entries(ring);
	ring->result = r;
	sem_post(&ring->uring->started);
	if (!r)
		serve_until_stopped(ring);
}
