/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes through io_uring. */

#include "store/uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"

/* How long to wait before the kernel is asked again that was short of memory. */
#define RETRY_NSEC 1000000

struct zs_uring {
	struct io_uring ring;
	bool has_ring, has_file, has_buffers; /* constant */
	int fd;
	char *buffers;
	unsigned int nr;
	size_t size;
	unsigned int nr_over; /* without a ring: writes that are over, and not told yet */
	struct over {
		unsigned int tag;
		int result;
	} over[];
};

/* The buffers count against RLIMIT_MEMLOCK: not everybody may register them, and it is for speed only. */
static void register_all(struct zs_uring *uring)
{
	struct iovec *vectors = zs_calloc(uring->nr, sizeof(*vectors));

	uring->has_file = !io_uring_register_files(&uring->ring, &uring->fd, 1);
	for (unsigned int i = 0; vectors && i < uring->nr; i++)
		vectors[i] = (struct iovec){uring->buffers + i * uring->size, uring->size};
	uring->has_buffers = vectors && !io_uring_register_buffers(&uring->ring, vectors, uring->nr);
	free(vectors);
}

int zs_uring_create(int fd, void *buffers, unsigned int nr, size_t size, struct zs_uring **ret_uring)
{
	struct zs_uring *uring = zs_calloc(1, sizeof(*uring) + nr * sizeof(uring->over[0]));
	int r;

	if (!uring)
		return -ENOMEM;
	uring->fd = fd;
	uring->buffers = buffers;
	uring->nr = nr;
	uring->size = size;
	r = io_uring_queue_init(nr, &uring->ring, 0);
	uring->has_ring = !r;
	if (uring->has_ring)
		register_all(uring);
	else
		zs_log(ZS_LOG_NOTICE, "no io_uring (%s): the backing file is written with pwrite(2)", strerror(-r));
	*ret_uring = uring;
	return 0;
}

void zs_uring_destroy(struct zs_uring *uring)
{
	/* The ring itself goes away later, by a thread of the kernel's; until then it would keep the file open. */
	if (uring && uring->has_file)
		io_uring_unregister_files(&uring->ring);
	if (uring && uring->has_ring)
		io_uring_queue_exit(&uring->ring);
	free(uring);
}

static void write_now(struct zs_uring *uring, unsigned int buffer, size_t bytes, uint64_t offset)
{
	ssize_t length;

	do {
		length = pwrite(uring->fd, uring->buffers + buffer * uring->size, bytes, (off_t)offset);
	} while (length < 0 && errno == EINTR);
	zs_assert(uring->nr_over < uring->nr);
	uring->over[uring->nr_over++] = (struct over){buffer, length < 0 ? -errno : (int)length};
}

/* What isn't taken now is taken by the next call: zs_uring_reap() makes one before it waits. */
static void submit(struct zs_uring *uring)
{
	const struct timespec pause = {.tv_nsec = RETRY_NSEC};
	int r;

	do {
		r = io_uring_submit(&uring->ring);
		if (r == -EAGAIN || r == -EBUSY)
			nanosleep(&pause, NULL);
	} while (r == -EINTR || r == -EAGAIN || r == -EBUSY);
}

void zs_uring_write(struct zs_uring *uring, unsigned int buffer, size_t bytes, uint64_t offset)
{
	char *data = uring->buffers + buffer * uring->size;
	struct io_uring_sqe *sqe;
	int fd = uring->has_file ? 0 : uring->fd;

	if (!uring->has_ring) {
		write_now(uring, buffer, bytes, offset);
		return;
	}
	/* As many entries as buffers. */
	sqe = io_uring_get_sqe(&uring->ring);
	zs_assert(sqe);
	if (uring->has_buffers)
		io_uring_prep_write_fixed(sqe, fd, data, (unsigned int)bytes, offset, (int)buffer);
	else
		io_uring_prep_write(sqe, fd, data, (unsigned int)bytes, offset);
	if (uring->has_file)
		sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = buffer;
	submit(uring);
}

void zs_uring_reap(struct zs_uring *uring, bool wait, zs_uring_done *done, void *context)
{
	struct io_uring_cqe *cqe;
	int r;

	if (!uring->has_ring) {
		while (uring->nr_over) {
			struct over over = uring->over[--uring->nr_over];

			done(context, over.tag, over.result);
		}
		return;
	}
	/* What was not taken when it was submitted goes first. */
	do {
		r = wait ? io_uring_submit_and_wait(&uring->ring, 1) : 0;
	} while (r == -EINTR || r == -EAGAIN);
	while (!io_uring_peek_cqe(&uring->ring, &cqe)) {
		done(context, (unsigned int)cqe->user_data, cqe->res);
		io_uring_cqe_seen(&uring->ring, cqe);
	}
}

bool zs_uring_is_real(const struct zs_uring *uring)
{
	return uring->has_ring;
}
