/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions of liburing, and the commands that they bring to the kernel in memory. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/fake_rings_internal.h"

/* How often a thread that waits looks whether it is to stop. */
#define LOOK_NSEC 1000000
/* enum io_uring_register_op; new in liburing 2.9. */
#define REGISTER_SEND_MSG_RING 31

/* commands */

static void release(struct entry *entry, struct ring *ring, uint64_t data)
{
	entry->ring = ring;
	entry->user_data = data;
	zs_list_push(&kernel.idle[entry->queue], &entry->link);
	fake_dispatch(entry->queue);
}

static void register_entry(struct ring *ring, const struct io_uring_sqe *sqe, const struct zsd_fuse_ring_command *what)
{
	const struct iovec *parts = (const void *)(uintptr_t)sqe->addr;
	struct entry *entry = &kernel.entries[kernel.nr_entries];
	int error = fake_fails(FAKE_REGISTER);

	if (error) {
		fake_complete(ring, sqe->user_data, error);
		return;
	}
	zs_assert(kernel.nr_entries++ < ENTRIES_MAX && what->queue < kernel.nr_queues && sqe->len == 2);
	zs_assert(parts[0].iov_len >= sizeof(*entry->header));
	*entry = (struct entry){.queue = what->queue, .header = parts[0].iov_base, .payload = parts[1].iov_base};
	ring->has_entries = true;
	release(entry, ring, sqe->user_data);
}

static struct entry *find_entry(const struct zsd_fuse_ring_command *what)
{
	for (unsigned int i = 0; i < kernel.nr_entries; i++) {
		struct entry *entry = &kernel.entries[i];

		if (entry->request && entry->queue == what->queue && entry->request->unique == what->commit_id)
			return entry;
	}
	return NULL;
}

static void take_answer(struct entry *entry)
{
	const struct zsd_fuse_ring_header *header = entry->header;
	struct fake_call *call = entry->request->call;

	zs_assert(header->out.unique == entry->request->unique && header->out.error <= 0);
	zs_assert(header->out.length == sizeof(header->out) + header->payload_length);
	call->output_length = header->payload_length;
	if (call->output && header->payload_length)
		memcpy(call->output, entry->payload, zs_min(header->payload_length, call->output_capacity));
	kernel.nr_answers++;
	fake_finish(entry->request, header->out.error);
	entry->request = NULL;
}

static void commit(struct ring *ring, const struct io_uring_sqe *sqe, const struct zsd_fuse_ring_command *what)
{
	int error = kernel.ended ? -ENOTCONN : fake_fails(FAKE_COMMIT);
	struct entry *entry;

	if (error) {
		fake_complete(ring, sqe->user_data, error);
		return;
	}
	entry = find_entry(what);
	zs_assert_msg(entry, "an answer without a request");
	take_answer(entry);
	release(entry, ring, sqe->user_data);
}

/* Returns 0 or the error that it fails with. */
static int pass_message(const struct io_uring_sqe *sqe)
{
	struct ring *target = &kernel.rings[sqe->fd - FIRST_FD];
	void (*hook)(void) = kernel.before_message;
	int error = fake_fails(FAKE_MESSAGE);

	if (hook) {
		fake_unlock();
		hook();
		fake_lock();
	}
	kernel.nr_messages++;
	if (!error && target->io)
		fake_complete(target, sqe->off, (int)sqe->len);
	return error;
}

static void send_message(struct ring *ring, const struct io_uring_sqe *sqe)
{
	const struct ring *target = &kernel.rings[sqe->fd - FIRST_FD];
	int error = pass_message(sqe);

	if (error)
		fake_complete(ring, sqe->user_data, error);
	else if (ring->has_entries && target->has_entries)
		kernel.nr_between_homes[sqe->off % MESSAGES_MAX]++;
}

static void run(struct ring *ring, const struct io_uring_sqe *sqe)
{
	struct zsd_fuse_ring_command what;

	memcpy(&what, sqe->cmd, sizeof(what));
	if (sqe->opcode == IORING_OP_POLL_ADD) {
		ring->watched_fd = sqe->fd;
		ring->watched_data = sqe->user_data;
	} else if (sqe->opcode == IORING_OP_MSG_RING) {
		send_message(ring, sqe);
	} else {
		zs_assert(sqe->opcode == IORING_OP_URING_CMD && sqe->fd == kernel.fuse_fd);
		if (sqe->cmd_op == ZSD_FUSE_RING_REGISTER)
			register_entry(ring, sqe, &what);
		else
			commit(ring, sqe, &what);
	}
}

/* Of all liburing functions that enter the kernel. */
static struct ring *enter(struct io_uring *io)
{
	struct ring *ring = &kernel.rings[io->ring_fd - FIRST_FD];

	fake_lock();
	zs_assert(ring->io == io && ring->has_owner && pthread_equal(ring->owner, pthread_self()));
	return ring;
}

static int submit(struct ring *ring)
{
	int nr = 0;

	for (; ring->khead != ring->io->sq.sqe_tail; nr++) {
		/* Two of them make one of 128 bytes. */
		const struct io_uring_sqe *sqe = &ring->sqes[(ring->khead & ring->io->sq.ring_mask) * 2];

		__atomic_store_n(&ring->khead, ring->khead + 1, __ATOMIC_RELAXED);
		run(ring, sqe);
	}
	return nr;
}

static void look_at_watched(struct ring *ring)
{
	struct pollfd watched = {.fd = ring->watched_fd, .events = POLLIN};

	if (ring->watched_fd < 0 || poll(&watched, 1, 0) != 1)
		return;
	ring->watched_fd = -1;
	fake_complete(ring, ring->watched_data, POLLIN);
}

/* Until there is a completion. */
static void wait_in(struct ring *ring)
{
	struct timespec until;

	look_at_watched(ring);
	while (ring->cq_tail == ring->cq_head) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_NSEC;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&kernel.changed, &kernel.lock, &until);
		look_at_watched(ring);
	}
}

/* liburing */

static struct ring *find_unused(void)
{
	for (unsigned int i = 0; i < RINGS_MAX; i++) {
		if (!kernel.rings[i].io)
			return &kernel.rings[i];
	}
	abort();
}

static int set_up(unsigned int entries, struct io_uring *io, const struct io_uring_params *params)
{
	struct ring *ring = find_unused();
	int error = fake_fails(FAKE_SETUP);

	zs_assert(params->flags & IORING_SETUP_R_DISABLED);
	if (error)
		return error;
	memset(io, 0, sizeof(*io));
	*ring = (struct ring){.io = io, .watched_fd = -1};
	ring->sqes = calloc(entries, 2 * sizeof(*ring->sqes));
	io->cq.ring_entries = 2u << zs_ilog2(params->cq_entries - 1);
	ring->cqes = calloc(io->cq.ring_entries, sizeof(*ring->cqes));
	zs_assert(ring->sqes && ring->cqes);
	io->ring_fd = (int)(ring - kernel.rings) + FIRST_FD;
	io->flags = params->flags;
	io->sq.khead = &ring->khead;
	io->sq.ktail = &ring->sq_tail;
	io->sq.sqes = ring->sqes;
	io->sq.ring_entries = entries;
	io->sq.ring_mask = entries - 1;
	io->cq.khead = &ring->cq_head;
	io->cq.ktail = &ring->cq_tail;
	io->cq.cqes = ring->cqes;
	io->cq.ring_mask = io->cq.ring_entries - 1;
	return 0;
}

int io_uring_queue_init_params(unsigned int entries, struct io_uring *io, struct io_uring_params *params)
{
	int r;

	/* The store's: it can do without. */
	if (!(params->flags & IORING_SETUP_SQE128))
		return -ENOSYS;
	fake_lock();
	r = set_up(entries, io, params);
	fake_unlock();
	return r;
}

void io_uring_queue_exit(struct io_uring *io)
{
	struct ring *ring = &kernel.rings[io->ring_fd - FIRST_FD];

	fake_lock();
	for (unsigned int i = 0; i < kernel.nr_entries; i++) {
		if (kernel.entries[i].ring == ring && !kernel.entries[i].request)
			zs_list_unlink(&kernel.entries[i].link);
	}
	free(ring->sqes);
	free(ring->cqes);
	*ring = (struct ring){0};
	fake_unlock();
}

/* By a thread without a ring. */
static int register_message(unsigned int opcode, const struct io_uring_sqe *sqe, unsigned int nr)
{
	int error;

	zs_assert(opcode == REGISTER_SEND_MSG_RING && nr == 1 && sqe->opcode == IORING_OP_MSG_RING && !sqe->flags);
	fake_lock();
	error = pass_message(sqe);
	fake_unlock();
	return error;
}

int io_uring_register(unsigned int fd, unsigned int opcode, const void *argument, unsigned int nr)
{
	struct ring *ring;

	if (fd == UINT32_MAX)
		return register_message(opcode, argument, nr);
	ring = &kernel.rings[fd - FIRST_FD];
	fake_lock();
	zs_assert(opcode == IORING_REGISTER_ENABLE_RINGS && !ring->has_owner);
	ring->has_owner = true;
	ring->owner = pthread_self();
	fake_unlock();
	return 0;
}

int io_uring_submit(struct io_uring *io)
{
	int r = submit(enter(io));

	fake_unlock();
	return r;
}

int io_uring_submit_and_get_events(struct io_uring *io)
{
	struct ring *ring = enter(io);
	int r = submit(ring);

	look_at_watched(ring);
	fake_unlock();
	return r;
}

int io_uring_submit_and_wait(struct io_uring *io, unsigned int nr)
{
	struct ring *ring = enter(io);
	int r = fake_fails(FAKE_WAIT);

	if (!r) {
		r = submit(ring);
		wait_in(ring);
	}
	fake_unlock();
	return r;
}

unsigned int io_uring_peek_batch_cqe(struct io_uring *io, struct io_uring_cqe **cqes, unsigned int nr)
{
	struct ring *ring = enter(io);

	nr = (unsigned int)zs_min(nr, ring->cq_tail - ring->cq_head);
	for (unsigned int i = 0; i < nr; i++)
		cqes[i] = &ring->cqes[(ring->cq_head + i) & io->cq.ring_mask];
	fake_unlock();
	return nr;
}
