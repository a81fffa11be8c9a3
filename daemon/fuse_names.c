/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rare FUSE requests.
 *
 * Names are kept by the kernel until they are taken back (zsd_transport_forget_name()), since a name only ever changes
 * by the control socket; names that don't exist are not kept, so that a new device is seen at once. Attributes are kept
 * for a second: st_blocks follows the content. Neither is kept of what the frontend calls fleeting. A node that is gone
 * answers ESTALE, upon which the kernel looks its name up once more.
 *
 * What is not in the table is answered with ENOSYS by libfuse; for getxattr the kernel remembers that and no longer
 * asks for security.capability before each write.
 */

#define FUSE_USE_VERSION 312

#include "fuse_names.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "frontend.h"
#include "fuse_request.h"

#define ATTRIBUTES_VALID_SEC 1.0
#define NAME_VALID_SEC	     86400.0
/* Requests in flight that nobody waits for: direct asynchronous I/O. The kernel's default, 12, starves deep queues. */
#define MAX_BACKGROUND 4096
/* A directory request may ask for as much as a READ; more than this per round trip gains nothing. */
#define DIRECTORY_BYTES_MAX ((size_t)64 << 10)

#define NSEC_PER_SEC	 INT64_C(1000000000)
#define STAT_BLOCK_BYTES 512

/* Offsets in the directory: where to go on after an entry. A file's is its cursor and these two. */
enum { AFTER_DOT = 1, AFTER_DOT_DOT = 2 };

static const struct zsd_fuse_names *names_of(fuse_req_t request)
{
	return fuse_req_userdata(request);
}

static struct timespec to_timespec(int64_t nsec)
{
	struct timespec time = {.tv_sec = nsec / NSEC_PER_SEC, .tv_nsec = nsec % NSEC_PER_SEC};

	if (time.tv_nsec < 0) {
		time.tv_sec--;
		time.tv_nsec += NSEC_PER_SEC;
	}
	return time;
}

/* The nearest that can be had, as other file systems do; ours end in the year 2262. */
static int64_t from_timespec(const struct timespec *time)
{
	int64_t nsec;

	if (__builtin_mul_overflow(time->tv_sec, NSEC_PER_SEC, &nsec) ||
	    __builtin_add_overflow(nsec, time->tv_nsec, &nsec))
		return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return nsec;
}

static void fill_stat(const struct zsd_attributes *attributes, struct stat *ret_stat)
{
	bool is_directory = attributes->is_directory;

	*ret_stat = (struct stat){
		.st_ino = attributes->node,
		.st_mode = (is_directory ? S_IFDIR : S_IFREG) | (attributes->mode & 07777),
		.st_nlink = is_directory ? 2 : 1,
		.st_uid = attributes->uid,
		.st_gid = attributes->gid,
		.st_size = (off_t)attributes->size_bytes,
		.st_blocks = (blkcnt_t)zs_div_round_up(attributes->memory_bytes, STAT_BLOCK_BYTES),
		.st_blksize = (blksize_t)attributes->block_size,
		.st_atim = to_timespec(attributes->accessed_nsec),
		.st_mtim = to_timespec(attributes->modified_nsec),
		.st_ctim = to_timespec(attributes->changed_nsec),
	};
}

static int fill_entry(const struct zsd_fuse_names *names, uint64_t node, struct fuse_entry_param *ret_entry)
{
	struct zsd_attributes attributes;
	int r = names->ops->getattr(names->frontend, node, &attributes);

	if (r)
		return r;
	*ret_entry = (struct fuse_entry_param){
		.ino = node,
		.attr_timeout = attributes.is_fleeting ? 0 : ATTRIBUTES_VALID_SEC,
		.entry_timeout = attributes.is_fleeting ? 0 : NAME_VALID_SEC,
	};
	fill_stat(&attributes, &ret_entry->attr);
	return 0;
}

static void start(void *userdata, struct fuse_conn_info *connection)
{
	struct zsd_fuse_names *names = userdata;

	connection->max_write = ZSD_FUSE_MAX_IO_BYTES;
	connection->max_background = MAX_BACKGROUND;
	connection->want |= connection->capable & FUSE_CAP_ASYNC_DIO;
	/* The modification time changes with every write; that is no reason to drop what the kernel has cached. */
	connection->want &= ~(unsigned int)FUSE_CAP_AUTO_INVAL_DATA;
	names->ready = true;
}

static void look_up(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	const struct zsd_fuse_names *names = names_of(request);
	struct fuse_entry_param entry;
	uint64_t node;
	int r;

	r = names->ops->lookup(names->frontend, parent, name, &node);
	if (!r)
		r = fill_entry(names, node, &entry);
	/* Removed between the two: as if it had been before the first. */
	if (r)
		fuse_reply_err(request, r == -ESTALE ? ENOENT : -r);
	else
		fuse_reply_entry(request, &entry);
}

static void reply_attributes(fuse_req_t request, uint64_t node)
{
	const struct zsd_fuse_names *names = names_of(request);
	struct zsd_attributes attributes;
	struct stat stat;
	int r = names->ops->getattr(names->frontend, node, &attributes);

	if (r) {
		fuse_reply_err(request, -r);
		return;
	}
	fill_stat(&attributes, &stat);
	fuse_reply_attr(request, &stat, attributes.is_fleeting ? 0 : ATTRIBUTES_VALID_SEC);
}

static void get_attributes(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file)
{
	reply_attributes(request, node);
}

static int64_t chosen_time(bool now, const struct timespec *wanted)
{
	struct timespec time = *wanted;

	if (now)
		clock_gettime(CLOCK_REALTIME, &time);
	return from_timespec(&time);
}

static unsigned int changes_of(int to_set)
{
	unsigned int changes = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		changes |= ZSD_CHANGE_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		changes |= ZSD_CHANGE_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		changes |= ZSD_CHANGE_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		changes |= ZSD_CHANGE_SIZE;
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
		changes |= ZSD_CHANGE_ACCESSED;
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		changes |= ZSD_CHANGE_MODIFIED;
	return changes;
}

static void set_attributes(fuse_req_t request, fuse_ino_t node, struct stat *stat, int to_set,
			   struct fuse_file_info *file)
{
	const struct zsd_fuse_names *names = names_of(request);
	struct zsd_attributes wanted = {
		.mode = stat->st_mode & 07777,
		.uid = stat->st_uid,
		.gid = stat->st_gid,
		.size_bytes = (uint64_t)stat->st_size,
		.accessed_nsec = chosen_time(to_set & FUSE_SET_ATTR_ATIME_NOW, &stat->st_atim),
		.modified_nsec = chosen_time(to_set & FUSE_SET_ATTR_MTIME_NOW, &stat->st_mtim),
	};
	int r = names->ops->setattr(names->frontend, node, changes_of(to_set), &wanted);

	if (r)
		fuse_reply_err(request, -r);
	else
		reply_attributes(request, node);
}

/* directories */

/* The answer to one READDIR or READDIRPLUS while it grows. */
struct listing {
	fuse_req_t request;
	uint64_t directory;
	bool plus; /* entries with attributes */
	char *bytes;
	size_t capacity;
	size_t length;
};

/* False if it doesn't fit any more. */
static bool add_entry(struct listing *listing, const char *name, const struct fuse_entry_param *entry, off_t next)
{
	char *end = listing->bytes + listing->length;
	size_t room = listing->capacity - listing->length;
	size_t needed;

	if (listing->plus)
		needed = fuse_add_direntry_plus(listing->request, end, room, name, entry, next);
	else
		needed = fuse_add_direntry(listing->request, end, room, name, &entry->attr, next);
	if (needed > room)
		return false;
	listing->length += needed;
	return true;
}

/* The kernel wants no attributes of these; node 0 says so. */
static bool add_dots(struct listing *listing, off_t offset)
{
	const struct fuse_entry_param dot = {.attr = {.st_ino = listing->directory, .st_mode = S_IFDIR}};

	if (offset < AFTER_DOT && !add_entry(listing, ".", &dot, AFTER_DOT))
		return false;
	return offset >= AFTER_DOT_DOT || add_entry(listing, "..", &dot, AFTER_DOT_DOT);
}

static bool add_file(struct listing *listing, const char *name, uint64_t node, off_t next)
{
	struct fuse_entry_param entry = {.attr = {.st_ino = node, .st_mode = S_IFREG}};

	/* Removed just now: left out. */
	if (listing->plus && fill_entry(names_of(listing->request), node, &entry))
		return true;
	return add_entry(listing, name, &entry, next);
}

static void fill_listing(struct listing *listing, off_t offset)
{
	const struct zsd_fuse_names *names = names_of(listing->request);
	uint64_t cursor = offset > AFTER_DOT_DOT ? (uint64_t)offset - AFTER_DOT_DOT : 0;
	char name[ZSD_NAME_BYTES];
	uint64_t node;

	if (cursor > UINT32_MAX || !add_dots(listing, offset))
		return;
	while (names->ops->next(names->frontend, listing->directory, &cursor, name, &node)) {
		if (!add_file(listing, name, node, (off_t)cursor + AFTER_DOT_DOT))
			return;
	}
}

static void list(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, bool plus)
{
	struct listing listing = {
		.request = request,
		.directory = node,
		.plus = plus,
		.capacity = zs_min(size, DIRECTORY_BYTES_MAX),
	};
	ZS_CLEANUP_FREE char *bytes = NULL;

	bytes = zs_malloc(listing.capacity);
	if (!bytes) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	listing.bytes = bytes;
	fill_listing(&listing, offset);
	fuse_reply_buf(request, listing.bytes, listing.length);
}

static void read_directory(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *file)
{
	list(request, node, size, offset, false);
}

static void read_directory_plus(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
				struct fuse_file_info *file)
{
	list(request, node, size, offset, true);
}

static void get_space(fuse_req_t request, fuse_ino_t node)
{
	const struct zsd_fuse_names *names = names_of(request);
	struct zsd_space space;
	struct statvfs statvfs;

	names->ops->space(names->frontend, &space);
	statvfs = (struct statvfs){
		.f_bsize = ZS_PAGE_SIZE,
		.f_frsize = ZS_PAGE_SIZE,
		.f_blocks = space.total_bytes / ZS_PAGE_SIZE,
		.f_bfree = space.free_bytes / ZS_PAGE_SIZE,
		.f_bavail = space.free_bytes / ZS_PAGE_SIZE,
		.f_files = space.max_files,
		.f_ffree = space.max_files - space.nr_files,
		.f_favail = space.max_files - space.nr_files,
		.f_namemax = ZSD_NAME_BYTES - 1,
	};
	fuse_reply_statfs(request, &statvfs);
}

/* Permissions are the kernel's business: the mount has default_permissions. */
static void check_access(fuse_req_t request, fuse_ino_t node, int mask)
{
	fuse_reply_err(request, 0);
}

/* refused: the directory belongs to the control socket */

static void refuse_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
			  struct fuse_file_info *file)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_remove(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_symlink(fuse_req_t request, const char *link, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name)
{
	fuse_reply_err(request, EPERM);
}

static void refuse_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
			  const char *new_name, unsigned int flags)
{
	fuse_reply_err(request, EPERM);
}

const struct fuse_lowlevel_ops zsd_fuse_names_ops = {
	.init = start,
	.lookup = look_up,
	.getattr = get_attributes,
	.setattr = set_attributes,
	.readdir = read_directory,
	.readdirplus = read_directory_plus,
	.statfs = get_space,
	.access = check_access,
	.create = refuse_create,
	.mknod = refuse_mknod,
	.mkdir = refuse_mkdir,
	.unlink = refuse_remove,
	.rmdir = refuse_remove,
	.symlink = refuse_symlink,
	.link = refuse_link,
	.rename = refuse_rename,
};
