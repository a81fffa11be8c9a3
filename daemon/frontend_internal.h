#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frontend of a store's devices; for frontend*.c only. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "frontend.h"
#include "frontend_opens.h"
#include "frontend_reports.h"
#include "store/store.h"

struct zsd_jobs;

/* Added to a device's id, this makes its node number: 1 stays the root. */
#define ZSD_NODE_OFFSET 2

/* Times that somebody set with utimensat(2); the store knows only when data changed. */
struct zsd_file_times {
	uint64_t node; /* that this is about; 0 = none */
	int64_t set_nsec;
	int64_t accessed_nsec; /* 0 = not set */
	int64_t modified_nsec; /* 0 = not set */
};

struct zsd_frontend {
	struct zs_store *store;			  /* immutable after create */
	struct zsd_jobs *jobs;			  /* immutable once a transport serves; NULL = nobody helps */
	bool has_backing;			  /* immutable once a transport serves, like the next one */
	struct zsd_tasks *tasks;		  /* NULL: nobody waits for room */
	_Atomic bool stopping;			  /* relaxed: it is looked at again soon */
	_Atomic int activity_fds[ZSD_WATCHER_NR]; /* -1 = nobody waits; taken by the first one who does something */
	_Atomic int change_fd;			  /* the same; taken by the first one who writes or discards */
	_Atomic int64_t directory_changed_nsec;
	struct zsd_opens opens;
	struct zsd_reports reports;
	pthread_mutex_t times_lock; /* a leaf; guards times */
	struct zsd_file_times times[ZS_DEVICES_MAX];
};

/* Borrows a node's device, or NULL; as zs_device_get(). */
static inline struct zs_device *zsd_frontend_get(struct zsd_frontend *frontend, uint64_t node, struct zs_stream *stream)
{
	return node < ZSD_NODE_OFFSET ? NULL : zs_device_get(frontend->store, node - ZSD_NODE_OFFSET, stream);
}

/* After the change, so that whoever looks upon it finds it; the first one after a read. */
void zsd_frontend_note_access(struct zsd_frontend *frontend);
void zsd_frontend_note_change(struct zsd_frontend *frontend);

/* Members of zsd_store_frontend_ops. */
int zsd_frontend_read(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		      size_t *done);
int zsd_frontend_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		       size_t *done);
int zsd_frontend_discard(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size);
int zsd_frontend_lookup(void *frontend, uint64_t directory, const char *name, uint64_t *ret_node);
int zsd_frontend_getattr(void *frontend, uint64_t node, struct zsd_attributes *ret_attributes);
int zsd_frontend_setattr(void *frontend, uint64_t node, unsigned int changes, const struct zsd_attributes *wanted);
bool zsd_frontend_next(void *frontend, uint64_t directory, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
		       uint64_t *ret_node);
void zsd_frontend_space(void *frontend, struct zsd_space *ret_space);
