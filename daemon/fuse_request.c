/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frequent FUSE requests.
 *
 * A request's node number decides which file it is for, so that there is only one thing that could be wrong. The file
 * handle is the same number and is not looked at, unless it has ZSD_HANDLE_BIT: then it is told in place of the node.
 */

#include "fuse_request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"

/* Of a discard: clearing the slots of so much data takes 0.12 ms, some times what another thread takes to wake up. */
#define LONG_BYTES ((uint64_t)16 << 20)

typedef int serve_function(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			   struct zsd_fuse_reply *reply);

int zsd_fuse_refuse(const struct zsd_fuse_server *server, int error)
{
	if (server->nr_refused)
		atomic_fetch_add_explicit(server->nr_refused, 1, memory_order_relaxed);
	return error;
}

static int check_range(uint64_t offset, uint64_t length)
{
	return offset > INT64_MAX || length > INT64_MAX - offset ? -EINVAL : 0;
}

/* What reads and releases go by. */
static uint64_t node_or_handle(const struct zsd_fuse_request *request, uint64_t handle)
{
	return handle & ZSD_HANDLE_BIT ? handle : request->header->node;
}

static void set_body(struct zsd_fuse_reply *reply, const void *body, size_t length)
{
	reply->body = body;
	reply->body_length = length;
}

static int serve_read(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		      struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_read_in *in = request->argument;
	size_t done = request->done;
	int r;

	if (in->size > request->output_capacity || check_range(in->offset, in->size))
		return zsd_fuse_refuse(server, -EINVAL);
	r = server->ops->read(server->frontend, server->thread, node_or_handle(request, in->handle), in->offset,
			      request->output, in->size, &done);
	reply->done = done;
	if (r)
		return r;
	set_body(reply, request->output, done);
	return 0;
}

static int serve_write(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		       struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_write_in *in = request->argument;
	size_t done = request->done;
	int r;

	if (in->size != request->payload_length || check_range(in->offset, in->size))
		return zsd_fuse_refuse(server, -EINVAL);
	r = server->ops->write(server->frontend, server->thread, request->header->node, in->offset, request->payload,
			       in->size, &done);
	reply->done = done;
	if (r)
		return r;
	reply->small.write = (struct zsd_fuse_write_out){.size = (uint32_t)done};
	set_body(reply, &reply->small.write, sizeof(reply->small.write));
	return 0;
}

/*
 * Plain allocation (mode 0 or KEEP_SIZE) is refused: what a block will take is only known when it is written, so there
 * is nothing that could be promised.
 */
static int serve_fallocate(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			   struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_fallocate_in *in = request->argument;
	bool keep_size = in->mode & FALLOC_FL_KEEP_SIZE;
	uint32_t what = in->mode & ~(uint32_t)FALLOC_FL_KEEP_SIZE;

	if (what != FALLOC_FL_ZERO_RANGE && (what != FALLOC_FL_PUNCH_HOLE || !keep_size))
		return zsd_fuse_refuse(server, -EOPNOTSUPP);
	if (!in->length || check_range(in->offset, in->length))
		return zsd_fuse_refuse(server, -EINVAL);
	return server->ops->discard(server->frontend, server->thread, request->header->node, in->offset, in->length,
				    keep_size);
}

static int serve_lseek(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		       struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_lseek_in *in = request->argument;
	uint64_t offset;
	int r;

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return zsd_fuse_refuse(server, -EINVAL);
	if (in->offset > INT64_MAX)
		return zsd_fuse_refuse(server, -ENXIO);
	r = server->ops->seek(server->frontend, server->thread, request->header->node, in->offset,
			      in->whence == SEEK_DATA, &offset);
	if (r)
		return r;
	reply->small.lseek.offset = offset;
	set_body(reply, &reply->small.lseek, sizeof(reply->small.lseek));
	return 0;
}

/*
 * With page cache, what the kernel has of the file stays good from one open to the next: nobody changes it but through
 * this mount. close(2) writes back then what was changed in maps, which NOFLUSH would spare it.
 */
static uint32_t open_flags(bool page_cache)
{
	if (page_cache)
		return ZSD_FUSE_OPEN_KEEP_CACHE;
	return ZSD_FUSE_OPEN_DIRECT_IO | ZSD_FUSE_OPEN_NOFLUSH | ZSD_FUSE_OPEN_PARALLEL_DIRECT_WRITES;
}

static int serve_open(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		      struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_open_in *in = request->argument;
	bool to_write = (in->flags & O_ACCMODE) != O_RDONLY, page_cache;
	uint64_t handle;
	int r;

	if (in->flags & O_TRUNC)
		return zsd_fuse_refuse(server, -EPERM);
	r = server->ops->open(server->frontend, request->header->node, to_write, &handle, &page_cache);
	if (r)
		return r;
	reply->small.open = (struct zsd_fuse_open_out){
		.handle = handle,
		.open_flags = open_flags(page_cache),
	};
	set_body(reply, &reply->small.open, sizeof(reply->small.open));
	return 0;
}

static int serve_release(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			 struct zsd_fuse_reply *reply)
{
	const struct zsd_fuse_release_in *in = request->argument;

	server->ops->release(server->frontend, node_or_handle(request, in->handle));
	return 0;
}

/* There is nothing to flush: data is where it will stay when WRITE is answered. The kernel never asks again. */
static int serve_flush(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		       struct zsd_fuse_reply *reply)
{
	return -ENOSYS;
}

static const struct {
	serve_function *serve;
	size_t argument_length;
	bool has_payload;
} table[] = {
	[ZSD_FUSE_OPEN] = {serve_open, sizeof(struct zsd_fuse_open_in)},
	[ZSD_FUSE_READ] = {serve_read, sizeof(struct zsd_fuse_read_in)},
	[ZSD_FUSE_WRITE] = {serve_write, sizeof(struct zsd_fuse_write_in), true},
	[ZSD_FUSE_RELEASE] = {serve_release, sizeof(struct zsd_fuse_release_in)},
	[ZSD_FUSE_FSYNC] = {serve_flush, sizeof(struct zsd_fuse_fsync_in)},
	[ZSD_FUSE_FLUSH] = {serve_flush, sizeof(struct zsd_fuse_flush_in)},
	[ZSD_FUSE_FALLOCATE] = {serve_fallocate, sizeof(struct zsd_fuse_fallocate_in)},
	[ZSD_FUSE_LSEEK] = {serve_lseek, sizeof(struct zsd_fuse_lseek_in)},
};

static bool is_ours(uint32_t opcode)
{
	return opcode < ZS_ARRAY_SIZE(table) && table[opcode].serve;
}

/* What a later kernel asks for is unknown, too; it is told so once, mostly, and doesn't ask again. */
static bool is_known(uint32_t opcode)
{
	return opcode > 0 && opcode <= ZSD_FUSE_OPCODE_MAX && opcode != 7 && opcode != 19;
}

bool zsd_fuse_split(const void *bytes, size_t length, struct zsd_fuse_request *ret_request)
{
	const struct zsd_fuse_in_header *header = bytes;
	size_t argument_length, rest;

	if (length < sizeof(*header) || header->length != length)
		return false;
	rest = length - sizeof(*header);
	argument_length = rest;
	if (is_ours(header->opcode) && argument_length > table[header->opcode].argument_length)
		argument_length = table[header->opcode].argument_length;
	ret_request->header = header;
	ret_request->argument = header + 1;
	ret_request->argument_length = argument_length;
	ret_request->payload = (const char *)bytes + sizeof(*header) + argument_length;
	ret_request->payload_length = rest - argument_length;
	ret_request->done = 0;
	return true;
}

/* An interrupt asks to hurry up with something that is short anyway; node numbers are not counted. */
static bool is_silent(uint32_t opcode)
{
	return opcode == ZSD_FUSE_INTERRUPT || opcode == ZSD_FUSE_FORGET || opcode == ZSD_FUSE_BATCH_FORGET;
}

bool zsd_fuse_refuse_unsound(const struct zsd_fuse_server *server, const void *bytes, size_t length,
			     struct zsd_fuse_reply *ret_reply)
{
	const struct zsd_fuse_in_header *header = bytes;
	int error = zsd_fuse_refuse(server, -EIO);

	if (length < sizeof(*header) || is_silent(header->opcode))
		return false;
	*ret_reply = (struct zsd_fuse_reply){
		.header = {.length = sizeof(ret_reply->header), .error = error, .unique = header->unique},
	};
	return true;
}

bool zsd_fuse_takes_long(const struct zsd_fuse_request *request)
{
	const struct zsd_fuse_fallocate_in *in = request->argument;

	return request->header->opcode == ZSD_FUSE_FALLOCATE && request->argument_length == sizeof(*in) &&
	       in->length >= LONG_BYTES;
}

static int serve(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
		 struct zsd_fuse_reply *reply)
{
	uint32_t opcode = request->header->opcode;
	int r;

	if (request->argument_length != table[opcode].argument_length)
		return zsd_fuse_refuse(server, -EINVAL);
	if (request->payload_length && !table[opcode].has_payload)
		return zsd_fuse_refuse(server, -EINVAL);
	r = table[opcode].serve(server, request, reply);
	/* Block devices say so. */
	return r == -ERANGE ? zsd_fuse_refuse(server, -ENOSPC) : r;
}

/* libfuse answers what it has no function for with ENOSYS. */
static enum zsd_fuse_verdict leave_over(const struct zsd_fuse_server *server, uint32_t opcode)
{
	if (!is_known(opcode))
		zsd_fuse_refuse(server, -ENOSYS);
	return ZSD_FUSE_RARE;
}

enum zsd_fuse_verdict zsd_fuse_serve(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
				     struct zsd_fuse_reply *ret_reply)
{
	uint32_t opcode = request->header->opcode;
	int r;

	if (is_silent(opcode))
		return ZSD_FUSE_SILENT;
	if (!is_ours(opcode))
		return leave_over(server, opcode);
	set_body(ret_reply, NULL, 0);
	ret_reply->done = 0;
	r = serve(server, request, ret_reply);
	if (r == -EINPROGRESS)
		return ZSD_FUSE_WAIT;
	if (r < -ZSD_FUSE_ERRNO_MAX)
		r = -EIO;
	ret_reply->header = (struct zsd_fuse_out_header){
		.length = (uint32_t)(sizeof(ret_reply->header) + ret_reply->body_length),
		.error = r,
		.unique = request->header->unique,
	};
	return ZSD_FUSE_REPLY;
}

void zsd_fuse_allow_wait(const struct zsd_fuse_server *server, bool may_wait)
{
	if (server->ops->thread_allow_wait)
		server->ops->thread_allow_wait(server->frontend, server->thread, may_wait);
}

void zsd_fuse_serve_waiting(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			    struct zsd_fuse_reply *ret_reply)
{
	zsd_fuse_allow_wait(server, true);
	zs_assert(zsd_fuse_serve(server, request, ret_reply) == ZSD_FUSE_REPLY);
	zsd_fuse_allow_wait(server, false);
}

void zsd_fuse_undelivered(const struct zsd_fuse_server *server, const struct zsd_fuse_request *request,
			  const struct zsd_fuse_reply *reply)
{
	if (request->header->opcode == ZSD_FUSE_OPEN && !reply->header.error)
		server->ops->release(server->frontend, node_or_handle(request, reply->small.open.handle));
}
