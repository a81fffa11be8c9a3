/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's side of FUSE over io_uring, in memory. One lock guards all of it. */

#include <string.h>
#include <sys/eventfd.h>

#include "base/bits.h"
#include "base/check.h"
#include "support/fake_rings_internal.h"

struct fake_kernel kernel = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .fuse_fd = -1};

void fake_lock(void)
{
	zs_assert(!pthread_mutex_lock(&kernel.lock));
}

void fake_unlock(void)
{
	zs_assert(!pthread_mutex_unlock(&kernel.lock));
}

void fake_rings_begin(unsigned int nr_queues)
{
	fake_lock();
	zs_assert(nr_queues && nr_queues <= FAKE_QUEUES_MAX);
	for (unsigned int i = 0; i < RINGS_MAX; i++)
		zs_assert(!kernel.rings[i].io);
	if (kernel.fuse_fd < 0)
		kernel.fuse_fd = eventfd(0, EFD_CLOEXEC);
	kernel.ended = false;
	kernel.nr_queues = nr_queues;
	kernel.nr_entries = kernel.nr_messages = kernel.nr_brought = 0;
	memset(kernel.nr_between_homes, 0, sizeof(kernel.nr_between_homes));
	kernel.nr_answers = 0;
	kernel.before_message = NULL;
	memset(kernel.failures, 0, sizeof(kernel.failures));
	for (unsigned int i = 0; i < nr_queues; i++) {
		zs_list_init(&kernel.requests[i]);
		zs_list_init(&kernel.idle[i]);
	}
	fake_unlock();
}

int fake_rings_fuse_fd(void)
{
	return kernel.fuse_fd;
}

/* failures */

void fake_rings_fail(enum fake_operation operation, int error, unsigned int after, unsigned int nr)
{
	fake_lock();
	kernel.failures[operation] = (struct failure){error, after, nr, 0};
	fake_unlock();
}

int fake_fails(enum fake_operation operation)
{
	struct failure *failure = &kernel.failures[operation];

	if (!failure->left)
		return 0;
	if (failure->after) {
		failure->after--;
		return 0;
	}
	failure->left--;
	failure->nr++;
	return failure->error;
}

unsigned int fake_rings_nr_failed(enum fake_operation operation)
{
	unsigned int nr;

	fake_lock();
	nr = kernel.failures[operation].nr;
	fake_unlock();
	return nr;
}

/* completions */

void fake_complete(struct ring *ring, uint64_t data, int result)
{
	unsigned int used = ring->cq_tail - __atomic_load_n(&ring->cq_head, __ATOMIC_ACQUIRE);

	zs_assert_msg(used < ring->io->cq.ring_entries, "no room for a completion");
	ring->cqes[ring->cq_tail & ring->io->cq.ring_mask] = (struct io_uring_cqe){.user_data = data, .res = result};
	__atomic_store_n(&ring->cq_tail, ring->cq_tail + 1, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&kernel.changed);
}

static void fill(struct entry *entry, struct request *request)
{
	const struct fake_call *call = request->call;
	struct zsd_fuse_ring_header *header = entry->header;

	memset(header, 0, sizeof(*header));
	header->in = (struct zsd_fuse_in_header){
		.length = (uint32_t)(sizeof(header->in) + call->argument_length + call->payload_length),
		.opcode = call->opcode,
		.unique = request->unique,
		.node = call->node,
		.pid = 1,
	};
	header->commit_id = request->unique;
	header->payload_length = (uint32_t)call->payload_length;
	memcpy(header->argument, call->argument, call->argument_length);
	if (call->payload_length)
		memcpy(entry->payload, call->payload, call->payload_length);
	entry->request = request;
	kernel.nr_brought++;
	fake_complete(entry->ring, entry->user_data, 0);
}

void fake_dispatch(unsigned int queue)
{
	while (!zs_list_empty(&kernel.requests[queue]) && !zs_list_empty(&kernel.idle[queue])) {
		struct request *request = zs_list_entry(kernel.requests[queue].previous, struct request, link);
		struct entry *entry = zs_list_entry(kernel.idle[queue].next, struct entry, link);

		zs_list_unlink(&request->link);
		zs_list_unlink(&entry->link);
		fill(entry, request);
	}
}

void fake_finish(struct request *request, int error)
{
	request->call->error = error;
	request->done = true;
	pthread_cond_broadcast(&kernel.changed);
}

/* clients */

void fake_rings_call(struct fake_call *call)
{
	struct request request = {.call = call};

	fake_lock();
	zs_assert(call->queue < kernel.nr_queues);
	request.unique = kernel.unique += 2;
	call->output_length = 0;
	if (kernel.ended) {
		call->error = -ECONNABORTED;
		fake_unlock();
		return;
	}
	zs_list_push(&kernel.requests[call->queue], &request.link);
	fake_dispatch(call->queue);
	while (!request.done)
		pthread_cond_wait(&kernel.changed, &kernel.lock);
	fake_unlock();
}

void fake_rings_abort(void)
{
	fake_lock();
	kernel.ended = true;
	for (unsigned int i = 0; i < kernel.nr_queues; i++) {
		while (!zs_list_empty(&kernel.requests[i])) {
			struct request *request = zs_list_entry(kernel.requests[i].next, struct request, link);

			zs_list_unlink(&request->link);
			fake_finish(request, -ECONNABORTED);
		}
	}
	for (unsigned int i = 0; i < kernel.nr_entries; i++) {
		struct entry *entry = &kernel.entries[i];

		if (entry->request)
			fake_finish(entry->request, -ECONNABORTED);
		else if (entry->ring->io)
			fake_complete(entry->ring, entry->user_data, -ENOTCONN);
		entry->request = NULL;
	}
	fake_unlock();
}

/* what happened */

void fake_rings_before_message(void (*hook)(void))
{
	fake_lock();
	kernel.before_message = hook;
	fake_unlock();
}

unsigned int fake_rings_nr_entries(unsigned int queue)
{
	unsigned int nr = 0;

	fake_lock();
	for (unsigned int i = 0; i < kernel.nr_entries; i++)
		nr += kernel.entries[i].queue == queue;
	fake_unlock();
	return nr;
}

unsigned int fake_rings_nr_messages(void)
{
	unsigned int nr;

	fake_lock();
	nr = kernel.nr_messages;
	fake_unlock();
	return nr;
}

unsigned int fake_rings_nr_between_homes(unsigned int message)
{
	unsigned int nr;

	zs_assert(message < MESSAGES_MAX);
	fake_lock();
	nr = kernel.nr_between_homes[message];
	fake_unlock();
	return nr;
}

unsigned int fake_rings_nr_brought(void)
{
	unsigned int nr;

	fake_lock();
	nr = kernel.nr_brought;
	fake_unlock();
	return nr;
}

uint64_t fake_rings_nr_answers(void)
{
	uint64_t nr;

	fake_lock();
	nr = kernel.nr_answers;
	fake_unlock();
	return nr;
}
