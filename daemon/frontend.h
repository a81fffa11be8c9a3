#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frontend: what a transport serves. It turns node numbers, names and byte ranges into answers and knows no type
 * of FUSE; a transport turns requests into these calls and knows no device. Any implementation of struct
 * zsd_frontend_ops can be plugged into any transport; the one here serves the devices of a store.
 *
 * A node number names one file for ever: it is small, stable, never a pointer and never used again for another file,
 * so that a request that comes late, or twice, can do no harm. The store's frontend makes it from the device's id.
 *
 * Context: all operations may be called by any number of threads at the same time, each with its own thread context.
 * They return 0 or -errno, and leave what they answer untouched on failure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_store;
struct zsd_metrics_facts;
struct zsd_frontend;
struct zsd_jobs_stats;
struct zsd_tasks;

/* The directory with all devices' files; FUSE fixes this number. No file has it, or 0. */
#define ZSD_ROOT_NODE  UINT64_C(1)
#define ZSD_NAME_BYTES 65 /* 64 and the NUL */
/* In a handle, and in no node number: what is read belongs to one open, and the handle says to which. */
#define ZSD_HANDLE_BIT (UINT64_C(1) << 63)

struct zsd_attributes {
	uint64_t node;
	uint64_t size_bytes;
	uint64_t memory_bytes; /* what the content costs; st_blocks is made from it */
	int64_t accessed_nsec; /* the three times: Unix time */
	int64_t modified_nsec;
	int64_t changed_nsec;
	uint32_t block_size;
	uint32_t mode; /* permission bits only */
	uint32_t uid, gid;
	bool is_directory;
	bool is_fleeting; /* name and attributes are not to be kept by the kernel */
};

enum zsd_change {
	ZSD_CHANGE_MODE = 1 << 0,
	ZSD_CHANGE_UID = 1 << 1,
	ZSD_CHANGE_GID = 1 << 2,
	ZSD_CHANGE_SIZE = 1 << 3,
	ZSD_CHANGE_ACCESSED = 1 << 4,
	ZSD_CHANGE_MODIFIED = 1 << 5,
};

struct zsd_space {
	uint64_t total_bytes;
	uint64_t free_bytes;
	uint64_t nr_files;
	uint64_t max_files;
};

struct zsd_frontend_ops {
	/*
	 * Makes what one thread needs for its calls of read, write, discard and seek. index counts the transport's
	 * threads from 0. Errnos: -ENOMEM.
	 */
	int (*thread_begin)(void *frontend, unsigned int index, void **ret_thread);
	void (*thread_end)(void *frontend, void *thread);
	/*
	 * Whether the thread may wait for a disk, which it may not at first. NULL: there is nothing to wait for, no
	 * call answers -EINPROGRESS. Context: whoever has the thread.
	 */
	void (*thread_allow_wait)(void *frontend, void *thread, bool may_wait);

	/*
	 * data: the hot path; must not wait for anything but the store. Any offset and length. -EINPROGRESS: it would
	 * have to wait. The same call by a thread that may wait goes on with it; of reads and writes *done bytes are
	 * done already then, which that call is told. It is 0 at first.
	 */

	/*
	 * Reads up to length bytes; fewer at the end of the file, 0 beyond it. node: or the handle of the open, if that
	 * has ZSD_HANDLE_BIT. -ENODEV (no such node), -ESTALE (no such handle any more), -EIO, -ENOMEM
	 */
	int (*read)(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		    size_t *done);
	/*
	 * Writes up to length bytes; fewer at the end of the file or where room runs out. If not one byte could be
	 * written -ERANGE (it begins at the end or beyond it) or -ENOSPC (no room); -EROFS, -ENODEV, -EIO, -ENOMEM;
	 * -ECONNABORTED from who waited for room when it was time to stop. The buffer stays the caller's.
	 */
	int (*write)(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		     size_t *done);
	/*
	 * Makes a range read as zeros; what lies beyond the end is ignored if keep_size is true and refused with
	 * -ERANGE otherwise. -ENOSPC (no room), -EROFS, -ENODEV, -EIO, -ENOMEM.
	 */
	int (*discard)(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size);
	/*
	 * The first data or hole at or after offset, as lseek(2); a file that the kernel may cache has no holes.
	 * -ENXIO, -ENODEV.
	 */
	int (*seek)(void *frontend, void *thread, uint64_t node, uint64_t offset, bool data, uint64_t *ret_offset);

	/* opens */

	/*
	 * Counts one more user of the file, and says whether the kernel may cache its content, which is the same for
	 * all users. The handle is the node, unless it has ZSD_HANDLE_BIT: then reads and the release are told the
	 * handle in place of the node. -ESTALE if there is no such node (any more), -ENOMEM; -EROFS if it is to be
	 * written to and must not be.
	 */
	int (*open)(void *frontend, uint64_t node, bool to_write, uint64_t *ret_handle, bool *ret_page_cache);
	/* Ends what one successful open began; also for a node that has been removed since. */
	void (*release)(void *frontend, uint64_t node);

	/* names and attributes: rare */

	/* Finds a file by its name in a directory. -ENOENT, -ENAMETOOLONG, -ENOTDIR. */
	int (*lookup)(void *frontend, uint64_t directory, const char *name, uint64_t *ret_node);
	/* Also for ZSD_ROOT_NODE. -ESTALE if there is no such node (any more). */
	int (*getattr)(void *frontend, uint64_t node, struct zsd_attributes *ret_attributes);
	/*
	 * Sets the attributes whose bit is in changes (enum zsd_change) to those of wanted: all of them, or none if
	 * one is refused. -EPERM (another size than the present one; the root), -ESTALE.
	 */
	int (*setattr)(void *frontend, uint64_t node, unsigned int changes, const struct zsd_attributes *wanted);
	/*
	 * Walks over all files of a directory: *cursor starts at 0 and stays below 2^32; false at the end. Files that
	 * come or go meanwhile may or may not be seen; the others are seen once.
	 */
	bool (*next)(void *frontend, uint64_t directory, uint64_t *cursor, char name[static ZSD_NAME_BYTES],
		     uint64_t *ret_node);
	void (*space)(void *frontend, struct zsd_space *ret_space);
};

/* The frontend of a store's devices; use it with the struct zsd_frontend as the first argument. */
extern const struct zsd_frontend_ops zsd_store_frontend_ops;

/* Borrows the store until zsd_frontend_destroy(). Returns 0 or -ENOMEM. */
int zsd_frontend_create(struct zs_store *store, struct zsd_frontend **ret_frontend);
void zsd_frontend_destroy(struct zsd_frontend *frontend);

/*
 * Starts threads that take a share of big reads and writes (jobs.h), for a process that may use nr_cpus CPUs; they end
 * in zsd_frontend_destroy(). Context: once, before anybody serves it. Errnos as zsd_jobs_create().
 */
int zsd_frontend_start_helpers(struct zsd_frontend *frontend, unsigned int nr_cpus);

/* What the files in .zsd tell of the daemon; borrowed. Context: once, before anybody serves it. */
void zsd_frontend_set_facts(struct zsd_frontend *frontend, const struct zsd_metrics_facts *facts);

/*
 * There is a backing file: threads that may not wait answer -EINPROGRESS where they would have to. tasks, borrowed:
 * makes room for writes that find none; NULL: they are refused. Context: once, before anybody serves it.
 */
void zsd_frontend_set_backing(struct zsd_frontend *frontend, struct zsd_tasks *tasks);
/* True if somebody makes room for writes that find none. Context: any thread. */
bool zsd_frontend_makes_room(const struct zsd_frontend *frontend);
/* Nobody waits for room any more. Context: any thread. */
void zsd_frontend_stop_waiting(struct zsd_frontend *frontend);

/* Unix time. Coarse: a file's times need no better. Context: any thread. */
int64_t zsd_frontend_now_nsec(void);

/* What those have done so far; zeros if there are none. Context: any thread. */
void zsd_frontend_helper_stats(struct zsd_frontend *frontend, struct zsd_jobs_stats *ret_stats);

/* The node number of a device. */
uint64_t zsd_frontend_node(uint64_t id);

/* Opens of the device that are not released yet. Context: any thread. */
unsigned int zsd_frontend_open_count(struct zsd_frontend *frontend, uint64_t id);

/*
 * Refuses opens of a device from now on, since it is about to be removed. Returns 0, or -EBUSY if it is open and force
 * is false: then nothing changes and *ret_open_count says how often it is.
 */
int zsd_frontend_close_device(struct zsd_frontend *frontend, uint64_t id, bool force, unsigned int *ret_open_count);
/* Takes that back: the device stays. */
void zsd_frontend_reopen_device(struct zsd_frontend *frontend, uint64_t id);

/* A device was added or removed: the directory has changed. It counts as a change of data, see below. */
void zsd_frontend_directory_changed(struct zsd_frontend *frontend);

/* Who may ask for that, each with an eventfd of its own. */
enum zsd_watcher { ZSD_WATCHER_STATUS, ZSD_WATCHER_COLD, ZSD_WATCHER_NR };

/*
 * Asks for a wake-up of this eventfd after the next read, write or discard; then not again until asked again. It lets a
 * status line follow the data without a timer that ticks while nothing happens.
 */
void zsd_frontend_watch_activity(struct zsd_frontend *frontend, enum zsd_watcher watcher, int eventfd);
/* The same for the next write or discard, for whoever is not interested in reads. */
void zsd_frontend_watch_changes(struct zsd_frontend *frontend, int eventfd);
