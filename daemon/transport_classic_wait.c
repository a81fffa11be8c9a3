/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests of the classic transport that have to wait. */

#include "transport_classic_wait.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "transport_classic_request.h"
#include "waiters.h"

/* Of requests that wait: 64 of the largest. Whoever has a further one waits itself, which slows down who asks. */
#define WAITING_BYTES_MAX ((size_t)64 << 20)

struct item {
	struct zsd_waiter_item waiter;
	int fd;
	size_t length; /* of data */
	struct zsd_fuse_request request;
	struct zsd_fuse_in_header header;
	union {
		struct zsd_fuse_read_in read;
		struct zsd_fuse_write_in write;
		struct zsd_fuse_fallocate_in fallocate;
	} argument;
	char data[]; /* what is to be written, or what is read */
};

struct zsd_classic_wait {
	struct zsd_waiters *waiters;
	_Atomic size_t waiting_bytes; /* relaxed */
};

static void free_item(struct zsd_classic_wait *wait, struct item *item)
{
	atomic_fetch_sub_explicit(&wait->waiting_bytes, item->length, memory_order_relaxed);
	free(item);
}

static void serve(void *context, const struct zsd_fuse_server *server, struct zsd_waiter_item *waiter)
{
	struct item *item = zs_container_of(waiter, struct item, waiter);
	struct zsd_fuse_reply reply;

	zs_assert(zsd_fuse_serve(server, &item->request, &reply) == ZSD_FUSE_REPLY);
	zsd_classic_send(item->fd, server, &item->request, &reply);
	free_item(context, item);
}

static void drop(void *context, struct zsd_waiter_item *waiter)
{
	free_item(context, zs_container_of(waiter, struct item, waiter));
}

/* What it brings or takes. */
static size_t data_length(const struct zsd_fuse_request *request)
{
	const struct zsd_fuse_read_in *read = request->argument;

	return request->header->opcode == ZSD_FUSE_READ ? read->size : request->payload_length;
}

static void copy_request(struct item *item, const struct zsd_fuse_request *request)
{
	zs_assert(request->argument_length <= sizeof(item->argument));
	item->header = *request->header;
	memcpy(&item->argument, request->argument, request->argument_length);
	item->request = *request;
	item->request.header = &item->header;
	item->request.argument = &item->argument;
	item->request.payload = item->request.output = item->data;
	item->request.output_capacity = item->length;
	if (request->header->opcode == ZSD_FUSE_READ)
		memcpy(item->data, request->output, request->done);
	else
		memcpy(item->data, request->payload, request->payload_length);
}

/* NULL: no memory, or enough is waiting. */
static struct item *make_item(struct zsd_classic_wait *wait, size_t length)
{
	size_t before = atomic_fetch_add_explicit(&wait->waiting_bytes, length, memory_order_relaxed);
	struct item *item = before + length > WAITING_BYTES_MAX ? NULL : zs_malloc(sizeof(*item) + length);

	if (!item) {
		atomic_fetch_sub_explicit(&wait->waiting_bytes, length, memory_order_relaxed);
		return NULL;
	}
	item->length = length;
	return item;
}

int zsd_classic_wait_add(struct zsd_classic_wait *wait, const struct zsd_fuse_request *request, int fd)
{
	struct item *item = make_item(wait, data_length(request));
	int r;

	if (!item)
		return -ENOMEM;
	item->fd = fd;
	copy_request(item, request);
	r = zsd_waiters_add(wait->waiters, &item->waiter);
	if (r)
		free_item(wait, item);
	return r;
}

static void destroyp(struct zsd_classic_wait **wait)
{
	zsd_classic_wait_destroy(*wait);
}

int zsd_classic_wait_create(const struct zsd_fuse_server *server, unsigned int first_index,
			    struct zsd_classic_wait **ret_wait)
{
	ZS_CLEANUP(destroyp) struct zsd_classic_wait *wait = zs_calloc(1, sizeof(*wait));
	const struct zsd_waiters_options options = {
		.server = *server,
		.first_index = first_index,
		.serve = serve,
		.drop = drop,
		.context = wait,
	};
	int r;

	if (!wait)
		return -ENOMEM;
	r = zsd_waiters_create(&options, &wait->waiters);
	if (r)
		return r;
	*ret_wait = zs_take(wait);
	return 0;
}

void zsd_classic_wait_stop(struct zsd_classic_wait *wait)
{
	if (wait)
		zsd_waiters_stop(wait->waiters);
}

void zsd_classic_wait_destroy(struct zsd_classic_wait *wait)
{
	if (!wait)
		return;
	zsd_waiters_destroy(wait->waiters);
	zs_assert(!wait->waiting_bytes);
	free(wait);
}
