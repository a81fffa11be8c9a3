/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a ring asks of io_uring, and what its errors mean.
 *
 * Each completion is answered by one submission at most, and no more completions are looked at than there is room for
 * submissions (zsd_ring_room()). So there is always room, and a failing system call can only happen where it is
 * looked at: in zsd_ring_submit() and zsd_ring_wait(). What those did not get rid of is submitted the next time.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "fuse_session.h"
#include "transport_uring_internal.h"

/* Commands that are submitted together. */
#define SUBMISSIONS 64

/* enum io_uring_register_op: a message without a ring of one's own, since Linux 6.13. New in liburing 2.9. */
#define REGISTER_SEND_MSG_RING 31
/* After 1, 2, 4, ... ms: one second in all. */
#define POST_RETRIES_MAX 10

static uint64_t pack(const struct zsd_ring_entry *entry, enum zsd_ring_message message)
{
	return (uint64_t)(uintptr_t)entry | message;
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

	ring->scratch = zs_malloc(ZSD_RING_SCRATCH_BYTES + ZSD_FUSE_SLACK_BYTES);
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

int zsd_ring_enable(struct zsd_ring *ring)
{
	/* liburing 2.3 forgot to export io_uring_enable_rings(). */
	int r = io_uring_register((unsigned int)ring->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	return r < 0 ? r : 0;
}

/* submissions */

unsigned int zsd_ring_room(const struct zsd_ring *ring)
{
	return io_uring_sq_space_left(&ring->io);
}

/* A cleared one. */
static struct io_uring_sqe *get_sqe(struct zsd_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

	zs_assert(sqe);
	return memset(sqe, 0, 2 * sizeof(*sqe)); /* SQE128 */
}

void zsd_ring_command(struct zsd_ring *ring, struct zsd_ring_entry *entry, enum zsd_fuse_ring_operation operation)
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

void zsd_ring_send(struct zsd_ring *ring, struct zsd_ring *target, struct zsd_ring_entry *entry,
		   enum zsd_ring_message message)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	atomic_store_explicit(&entry->message, message, memory_order_release);
	io_uring_prep_msg_ring(sqe, target->io.ring_fd, 0, pack(entry, message), 0);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = pack(entry, ZSD_RING_UNSENT);
}

/* Its completion has no entry. */
void zsd_ring_watch_stop(struct zsd_ring *ring)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	io_uring_prep_poll_add(sqe, ring->uring->stop_fd, POLLIN);
	sqe->user_data = 0;
}

/* errors */

void zsd_ring_pause(unsigned int msec)
{
	const struct timespec duration = {
		.tv_sec = (time_t)(msec / 1000),
		.tv_nsec = (long)(msec % 1000) * 1000000,
	};

	nanosleep(&duration, NULL);
}

/*
 * 0 for a result that is none, or that passes: a lack of memory, a signal, completions to be looked at first. EBADR
 * says that the kernel had no memory to keep a completion, for which there is always room in our ring.
 */
static int check(int r)
{
	switch (r) {
	case -EINTR:
	case -EBUSY:
	case -ETIME:
		return 0;
	case -EBADR:
		zs_log(ZS_LOG_ERR, "io_uring has lost a completion; a client may wait in vain");
		return 0;
	case -EAGAIN:
	case -ENOMEM:
		zsd_ring_pause(1);
		return 0;
	default:
		return r < 0 ? r : 0;
	}
}

int zsd_ring_post(struct zsd_ring *target, struct zsd_ring_entry *entry, enum zsd_ring_message message)
{
	struct io_uring_sqe sqe = {0};
	int r;

	atomic_store_explicit(&entry->message, message, memory_order_release);
	io_uring_prep_msg_ring(&sqe, target->io.ring_fd, 0, pack(entry, message), 0);
	r = io_uring_register(UINT32_MAX, REGISTER_SEND_MSG_RING, &sqe, 1);
	for (unsigned int i = 0; (r == -ENOMEM || r == -EAGAIN || r == -EINTR) && i < POST_RETRIES_MAX; i++) {
		zsd_ring_pause(1u << i);
		r = io_uring_register(UINT32_MAX, REGISTER_SEND_MSG_RING, &sqe, 1);
	}
	return r < 0 ? r : 0;
}

int zsd_ring_submit(struct zsd_ring *ring)
{
	return check(io_uring_submit(&ring->io));
}

int zsd_ring_collect(struct zsd_ring *ring)
{
	return check(io_uring_submit_and_get_events(&ring->io));
}

int zsd_ring_wait(struct zsd_ring *ring)
{
	int r;

	zsd_pulse_look(&ring->pulse);
	atomic_store_explicit(&ring->asleep, true, memory_order_relaxed);
	r = io_uring_submit_and_wait(&ring->io, 1);
	atomic_store_explicit(&ring->asleep, false, memory_order_relaxed);
	return check(r);
}
