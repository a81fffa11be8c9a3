/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The request in an entry.
 *
 * Data of reads and writes is where it is to be: blocks are compressed from the payload and decompressed into it. Rare
 * requests are put together as the classic protocol has them, and libfuse's answer is taken apart again.
 */

#include "transport_uring_request.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "fuse_session.h"
#include "transport_uring_internal.h"

/* A cross-CPU wake-up takes 15 to 20 microseconds where that is dear; a block of 4 KiB one or two. */
#define LARGE_BYTES ((size_t)64 << 10)
/* From where on a request counts as several. */
#define WORK_BYTES ((size_t)32 << 10)

/* Of data; 0 for other requests. */
static size_t data_length(const struct zsd_ring_entry *entry)
{
	const struct zsd_fuse_read_in *read = (const void *)entry->header->argument;

	if (entry->header->in.opcode == ZSD_FUSE_READ)
		return read->size;
	return entry->header->in.opcode == ZSD_FUSE_WRITE ? entry->header->payload_length : 0;
}

bool zsd_ring_is_large(const struct zsd_ring_entry *entry)
{
	return data_length(entry) >= LARGE_BYTES;
}

unsigned int zsd_ring_work(const struct zsd_ring_entry *entry)
{
	return 1 + (unsigned int)(data_length(entry) / WORK_BYTES);
}

static void put_answer(struct zsd_ring_entry *entry, uint64_t unique, int error, size_t payload_length)
{
	entry->header->out = (struct zsd_fuse_out_header){
		.length = (uint32_t)(sizeof(entry->header->out) + payload_length),
		.error = error,
		.unique = unique,
	};
	entry->header->payload_length = (uint32_t)payload_length;
}

/* Finds the parts. False if the lengths can't be. */
static bool split(const struct zsd_ring_entry *entry, struct zsd_fuse_request *ret_request)
{
	const struct zsd_fuse_ring_header *header = entry->header;
	size_t payload_length = header->payload_length;
	size_t rest = sizeof(header->in) + payload_length;

	if (payload_length > ZSD_FUSE_MAX_IO_BYTES || header->in.length < rest ||
	    header->in.length - rest > sizeof(header->argument))
		return false;
	*ret_request = (struct zsd_fuse_request){
		.header = &header->in,
		.argument = header->argument,
		.argument_length = header->in.length - rest,
		.payload = entry->payload,
		.payload_length = payload_length,
		.output = entry->payload,
		.output_capacity = ZSD_FUSE_MAX_IO_BYTES,
	};
	return true;
}

bool zsd_ring_is_long(const struct zsd_ring_entry *entry)
{
	struct zsd_fuse_request request;

	return entry->header->in.opcode == ZSD_FUSE_FALLOCATE && split(entry, &request) &&
	       zsd_fuse_takes_long(&request);
}

static void answer_frequent(struct zsd_ring_entry *entry, const struct zsd_fuse_reply *reply)
{
	if (reply->body_length && reply->body != entry->payload)
		memcpy(entry->payload, reply->body, reply->body_length);
	put_answer(entry, reply->header.unique, reply->header.error, reply->body_length);
}

/* rare */

struct rare {
	struct zsd_ring_entry *entry;
	uint64_t unique;
	bool answered;
};

/* Takes libfuse's answer: a header and any number of parts. */
static ssize_t write_rare(void *argument, struct iovec *parts, int nr_parts)
{
	struct rare *rare = argument;
	const struct zsd_fuse_out_header *out = parts[0].iov_base;
	size_t length = 0;

	for (int i = 1; i < nr_parts; i++) {
		if (parts[i].iov_len > ZSD_FUSE_MAX_IO_BYTES - length) {
			errno = EINVAL;
			return -1;
		}
		memcpy(rare->entry->payload + length, parts[i].iov_base, parts[i].iov_len);
		length += parts[i].iov_len;
	}
	put_answer(rare->entry, rare->unique, out->error, length);
	rare->answered = true;
	return (ssize_t)(sizeof(*out) + length);
}

static void answer_rare(struct zsd_ring *ring, struct zsd_ring_entry *entry, const struct zsd_fuse_request *request)
{
	struct rare rare = {.entry = entry, .unique = request->header->unique};
	const struct zsd_fuse_sink sink = {write_rare, &rare};
	size_t length = request->header->length;
	char *end = ring->scratch;

	if (length > ZSD_RING_SCRATCH_BYTES) {
		put_answer(entry, rare.unique, zsd_fuse_refuse(&ring->server, -E2BIG), 0);
		return;
	}
	end = mempcpy(end, request->header, sizeof(*request->header));
	end = mempcpy(end, request->argument, request->argument_length);
	memcpy(end, request->payload, request->payload_length);
	zsd_fuse_session_serve(ring->uring->options.session, ring->scratch, length, &sink);
	if (!rare.answered)
		put_answer(entry, rare.unique, -EIO, 0);
}

bool zsd_ring_answer(struct zsd_ring *ring, struct zsd_ring_entry *entry)
{
	uint64_t unique = entry->header->in.unique;
	struct zsd_fuse_request request;
	struct zsd_fuse_reply reply;

	if (!split(entry, &request)) {
		put_answer(entry, unique, zsd_fuse_refuse(&ring->server, -EIO), 0);
		return true;
	}
	switch (zsd_fuse_serve(&ring->server, &request, &reply)) {
	case ZSD_FUSE_REPLY:
		answer_frequent(entry, &reply);
		break;
	case ZSD_FUSE_RARE:
		answer_rare(ring, entry, &request);
		break;
	case ZSD_FUSE_SILENT:
		/* Never comes this way; each request has to be given back. */
		put_answer(entry, unique, 0, 0);
		break;
	case ZSD_FUSE_WAIT:
		entry->done = reply.done;
		return false;
	}
	return true;
}

void zsd_ring_answer_waiting(const struct zsd_fuse_server *server, struct zsd_ring_entry *entry)
{
	struct zsd_fuse_request request;
	struct zsd_fuse_reply reply;

	zs_assert(split(entry, &request));
	request.done = entry->done;
	zs_assert(zsd_fuse_serve(server, &request, &reply) == ZSD_FUSE_REPLY);
	answer_frequent(entry, &reply);
}
