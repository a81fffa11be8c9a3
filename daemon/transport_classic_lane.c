/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The slow lane of the classic transport. */

#include "transport_classic_lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "frontend.h"
#include "threads.h"
#include "transport_classic_request.h"

/* A request that waits. */
struct item {
	struct zs_list link; /* in the lane's list */
	int fd;
	struct zsd_fuse_in_header header;
	struct zsd_fuse_fallocate_in argument;
};

struct zsd_classic_lane {
	struct zsd_fuse_server server; /* of the thread */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;  /* a leaf; guards the rest */
	pthread_cond_t wanted; /* there is an item, or stopping */
	struct zs_list items;  /* the newest first */
	bool stopping;
};

static void serve(struct zsd_classic_lane *lane, const struct item *item)
{
	const struct zsd_fuse_request request = {
		.header = &item->header,
		.argument = &item->argument,
		.argument_length = sizeof(item->argument),
	};
	struct zsd_fuse_reply reply;

	if (zsd_fuse_serve(&lane->server, &request, &reply) == ZSD_FUSE_REPLY)
		zsd_classic_send(item->fd, &lane->server, &request, &reply);
}

/* The oldest item; NULL when it is time to stop. */
static struct item *take(struct zsd_classic_lane *lane)
{
	struct item *item = NULL;

	pthread_mutex_lock(&lane->lock);
	while (!lane->stopping && zs_list_empty(&lane->items))
		pthread_cond_wait(&lane->wanted, &lane->lock);
	if (!lane->stopping) {
		item = zs_list_entry(lane->items.previous, struct item, link);
		zs_list_unlink(&item->link);
	}
	pthread_mutex_unlock(&lane->lock);
	return item;
}

static void *run(void *argument)
{
	struct zsd_classic_lane *lane = argument;
	struct item *item;

	while ((item = take(lane))) {
		serve(lane, item);
		free(item);
	}
	return NULL;
}

int zsd_classic_lane_add(struct zsd_classic_lane *lane, const struct zsd_fuse_request *request, int fd)
{
	struct item *item = zs_malloc(sizeof(*item));

	if (!item)
		return -ENOMEM;
	zs_assert(request->argument_length == sizeof(item->argument) && !request->payload_length);
	item->fd = fd;
	item->header = *request->header;
	memcpy(&item->argument, request->argument, sizeof(item->argument));
	pthread_mutex_lock(&lane->lock);
	zs_list_push(&lane->items, &item->link);
	pthread_mutex_unlock(&lane->lock);
	pthread_cond_signal(&lane->wanted);
	return 0;
}

static void destroyp(struct zsd_classic_lane **lane)
{
	zsd_classic_lane_destroy(*lane);
}

int zsd_classic_lane_create(const struct zsd_fuse_server *server, unsigned int index,
			    struct zsd_classic_lane **ret_lane)
{
	ZS_CLEANUP(destroyp) struct zsd_classic_lane *lane = zs_calloc(1, sizeof(*lane));
	int r;

	if (!lane)
		return -ENOMEM;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->wanted, NULL);
	zs_list_init(&lane->items);
	lane->server = *server;
	r = server->ops->thread_begin(server->frontend, index, &lane->server.thread);
	if (r) {
		lane->server.ops = NULL;
		return r;
	}
	/* Of what takes long, some more. */
	zsd_fuse_allow_wait(&lane->server, true);
	r = zsd_thread_start("zsd-slow", run, lane, &lane->thread);
	if (r)
		return r;
	lane->has_thread = true;
	*ret_lane = zs_take(lane);
	return 0;
}

void zsd_classic_lane_destroy(struct zsd_classic_lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->stopping = true;
	pthread_mutex_unlock(&lane->lock);
	pthread_cond_signal(&lane->wanted);
	if (lane->has_thread)
		pthread_join(lane->thread, NULL);
	while (!zs_list_empty(&lane->items)) {
		struct item *item = zs_list_entry(lane->items.next, struct item, link);

		zs_list_unlink(&item->link);
		free(item);
	}
	if (lane->server.ops)
		lane->server.ops->thread_end(lane->server.frontend, lane->server.thread);
	pthread_cond_destroy(&lane->wanted);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}
