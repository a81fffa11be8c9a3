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
 * Small requests are never given away: a wake-up of another CPU takes longer than they do. What takes long, a discard
 * of much, goes to the slow lane (SERVE): a further ring that is the home of no queue, does one of them at a time, and
 * sends each answer home (COMMIT). What has to wait for a disk goes to a waiter (waiters.h), which does the same. Until
 * then it keeps its entry, as does what waits for the slow lane: how many may wait before others wait behind them is
 * said in transport_uring_internal.h.
 *
 * Requests of the same queue that find no free entry wait in the kernel. Few entries are enough to keep a thread at
 * work, since what waits is fetched with the answer. Nevertheless a thread may get more large requests than it can
 * do while others are idle: before each one it looks again whether somebody sleeps.
 *
 * An answer that the kernel doesn't take for lack of memory, or since a security module refuses the command, is offered
 * again for a second. After that, and after any other error that doesn't pass, nothing can be answered any more: the
 * thread says so, which ends the daemon, and with it the mount; clients that waited for ever would be worse.
 *
 * Threads that are told to stop serve what they have at hand. They may still have something for each other then, so
 * each one waits until none of them sends any more, and looks for messages once more.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "transport_uring_internal.h"
#include "transport_uring_request.h"

/* Completions that are looked at together. */
#define BATCH 32
/* After 1, 2, 4, ... ms: one second in all. */
#define RETRIES_MAX 10

static struct zsd_ring_entry *entry_of(uint64_t data)
{
	return (void *)(uintptr_t)(data & ~ZSD_RING_MESSAGE_MASK);
}

/* errors */

/* The kernel's end of the connection; that is told by the thread that reads /dev/fuse. */
static bool is_end(int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED || error == -ECANCELED;
}

static bool may_pass(int error)
{
	return error == -ENOMEM || error == -EAGAIN || error == -EINTR || error == -EBUSY || error == -EPERM ||
	       error == -EACCES;
}

static bool has_connection(const struct zsd_uring *uring)
{
	struct pollfd connection = {.fd = uring->options.fuse_fd, .events = 0};

	return poll(&connection, 1, 0) == 0;
}

void zsd_uring_fail(struct zsd_uring *uring, const char *what, int error)
{
	uint64_t one = 1;

	/* At its end anything may fail, in any order. */
	if (!has_connection(uring))
		return;
	zs_log(ZS_LOG_ERR, "%s: %s", what, strerror(-error));
	atomic_store_explicit(&uring->failed, true, memory_order_relaxed);
	/* An eventfd takes 8 bytes. */
	if (write(uring->options.ended_fd, &one, sizeof(one)) < 0)
		zs_log(ZS_LOG_ERR, "can't report the end of the transport: %s", strerror(errno));
}

/* Nothing is answered here any more. */
static void fail(struct zsd_ring *ring, const char *what, int error)
{
	ring->leaving = true;
	ring->failed = true;
	zsd_uring_fail(ring->uring, what, error);
}

static void submit(struct zsd_ring *ring)
{
	int r = zsd_ring_submit(ring);

	if (r)
		fail(ring, "can't answer requests over io_uring", r);
}

/* The kernel did not take our command: the answer is still in the entry, and whoever asked waits for it. */
static void retry(struct zsd_ring *ring, struct zsd_ring_entry *entry, int error)
{
	if (is_end(error))
		return;
	if (!may_pass(error) || entry->nr_refused == RETRIES_MAX) {
		fail(ring, "the kernel takes no answers over io_uring", error);
		return;
	}
	ring->pause_msec = (unsigned int)zs_max(ring->pause_msec, 1u << entry->nr_refused++);
	zsd_ring_command(ring, entry, ZSD_FUSE_RING_COMMIT_AND_FETCH);
}

/* work */

static bool is_home(const struct zsd_ring *ring, const struct zsd_ring_entry *entry)
{
	return entry->home == ring->index;
}

/* Whether the answer is for the thread at home to give to the kernel. */
static bool is_for_home(const struct zsd_ring *ring, const struct zsd_ring *home, bool is_large)
{
	if (zsd_ring_is_slow_lane(ring))
		return true;
	/* Not for one that has work at hand: the answer would wait for all of it. */
	return !is_large && home != ring && atomic_load_explicit(&home->asleep, memory_order_relaxed);
}

/* Gives the answer in it to the kernel. */
static void commit(struct zsd_ring *ring, struct zsd_ring_entry *entry, bool is_large)
{
	struct zsd_ring *home = &ring->uring->rings[entry->home];

	if (!ring->leaving && is_for_home(ring, home, is_large)) {
		zsd_ring_send(ring, home, entry, ZSD_RING_COMMIT);
		return;
	}
	zsd_ring_command(ring, entry, ZSD_FUSE_RING_COMMIT_AND_FETCH);
	/* Nobody should wait for the next large one. */
	if (is_large)
		submit(ring);
}

static void answer(struct zsd_ring *ring, struct zsd_ring_entry *entry)
{
	bool is_large = zsd_ring_is_large(entry);

	/* What is done already should not wait for it. */
	if (is_large)
		submit(ring);
	if (!zsd_ring_answer(ring, entry)) {
		if (!zsd_waiters_add(ring->uring->waiters, &entry->waiter))
			return;
		/* All others have to wait with it, but for those that are done. */
		submit(ring);
		zsd_pulse_set_waits(&ring->pulse, true);
		zsd_fuse_allow_wait(&ring->server, true);
		zsd_ring_answer_waiting(&ring->server, entry);
		zsd_fuse_allow_wait(&ring->server, false);
		zsd_pulse_set_waits(&ring->pulse, false);
	}
	commit(ring, entry, is_large);
}

/* Returns how much work it was. */
static unsigned int serve(struct zsd_ring *ring, struct zsd_ring_entry *entry)
{
	struct zsd_uring *uring = ring->uring;
	unsigned int work = zsd_ring_work(entry);
	bool is_long = zsd_ring_is_long(entry);

	zsd_pulse_serve(&ring->pulse);
	/* Nobody should wait for it to stop: not begun, it fails when the connection ends. */
	if (is_long && atomic_load_explicit(&uring->stopping, memory_order_relaxed))
		return work;
	if (is_long && !zsd_ring_is_slow_lane(ring))
		zsd_ring_send(ring, &uring->rings[uring->placement.nr_threads], entry, ZSD_RING_SERVE);
	else
		answer(ring, entry);
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

	if (ring->leaving || zsd_ring_is_slow_lane(ring))
		return nr;
	while (kept > 1 && zsd_ring_is_large(entries[kept - 1]) && (other = find_idle(ring)))
		zsd_ring_send(ring, other, entries[--kept], ZSD_RING_SERVE);
	/* They are to begin now, not when we are done with the others. */
	if (kept < nr)
		submit(ring);
	return kept;
}

/* completions */

/* The kernel's: a request, or the error of our last command. */
static struct zsd_ring_entry *take_request(struct zsd_ring *ring, struct zsd_ring_entry *entry, int result)
{
	if (result < 0) {
		retry(ring, entry, result);
		return NULL;
	}
	entry->nr_refused = 0;
	/* What nobody has begun fails when the connection ends. */
	return ring->draining ? NULL : entry;
}

/* What another thread wants done, or we wanted of another one that can't be reached. */
static struct zsd_ring_entry *take_message(struct zsd_ring *ring, struct zsd_ring_entry *entry, bool is_unsent)
{
	/* acquire: what the other one has done with the entry */
	enum zsd_ring_message message = atomic_load_explicit(&entry->message, memory_order_acquire);

	if (message == ZSD_RING_COMMIT) {
		zsd_ring_command(ring, entry, ZSD_FUSE_RING_COMMIT_AND_FETCH);
		return NULL;
	}
	if (!is_unsent)
		return entry;
	answer(ring, entry);
	return NULL;
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
	if (message == ZSD_RING_FUSE)
		return take_request(ring, entry, cqe->res);
	return take_message(ring, entry, message == ZSD_RING_UNSENT);
}

/* Takes what has come. Returns how many completions. */
static unsigned int harvest(struct zsd_ring *ring, struct zsd_ring_entry *ret_entries[static BATCH],
			    unsigned int *ret_nr_entries)
{
	struct io_uring_cqe *cqes[BATCH];
	unsigned int room = (unsigned int)zs_min(BATCH, zsd_ring_room(ring));
	unsigned int nr_cqes = room ? io_uring_peek_batch_cqe(&ring->io, cqes, room) : 0;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_cqes; i++) {
		ret_entries[nr] = take(ring, cqes[i]);
		if (ret_entries[nr])
			nr++;
	}
	io_uring_cq_advance(&ring->io, nr_cqes);
	*ret_nr_entries = nr;
	return nr_cqes;
}

/* Returns how many completions there were. */
static unsigned int serve_batch(struct zsd_ring *ring)
{
	struct zsd_ring_entry *entries[BATCH];
	unsigned int nr, work = 0, nr_cqes = harvest(ring, entries, &nr);

	for (unsigned int i = 0; i < nr; i++) {
		nr = i + share(ring, entries + i, nr - i);
		work += serve(ring, entries[i]);
	}
	if (!zsd_ring_is_slow_lane(ring))
		zsd_pin_worked(&ring->uring->placement, ring->index, work);
	if (ring->pause_msec)
		zsd_ring_pause(ring->pause_msec);
	ring->pause_msec = 0;
	return nr_cqes;
}

static void serve_until_stopped(struct zsd_ring *ring)
{
	while (!ring->leaving) {
		int r = zsd_ring_wait(ring);

		if (r)
			fail(ring, "can't wait for requests over io_uring", r);
		else
			serve_batch(ring);
	}
}

/* life */

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
	int r = zsd_ring_enable(ring);

	if (r)
		return r;
	zsd_ring_watch_stop(ring);
	for (unsigned int i = 0; !r && i < uring->nr_entries; i++) {
		if (!is_home(ring, &uring->entries[i]))
			continue;
		while (!r && !zsd_ring_room(ring))
			r = zsd_ring_submit(ring);
		if (!r)
			zsd_ring_command(ring, &uring->entries[i], ZSD_FUSE_RING_REGISTER);
	}
	return r ?: zsd_ring_submit(ring) ?: find_error(ring);
}

static void wait_stop(struct zsd_ring *ring)
{
	struct pollfd stop = {.fd = ring->uring->stop_fd, .events = POLLIN};

	while (poll(&stop, 1, -1) < 0 && errno == EINTR)
		continue;
}

/* Of those that could not do anything any more, too: the others wait for them. */
static void leave(struct zsd_ring *ring)
{
	if (!ring->failed)
		submit(ring);
	wait_stop(ring);
	pthread_barrier_wait(&ring->uring->leaving);
	ring->draining = true;
	while (!ring->failed && !zsd_ring_collect(ring) && serve_batch(ring))
		continue;
}

void zsd_ring_run(struct zsd_ring *ring)
{
	int r;

	if (!zsd_ring_is_slow_lane(ring))
		zsd_pin_start(&ring->uring->placement, ring->index);
	r = register_entries(ring);
	ring->result = r;
	ring->failed = r;
	sem_post(&ring->uring->started);
	if (!r)
		serve_until_stopped(ring);
	leave(ring);
}
