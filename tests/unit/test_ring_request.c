/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request in a ring's entry: what is taken from it, what is refused, and where the answer is. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "frontend.h"
#include "transport_uring_internal.h"
#include "transport_uring_request.h"

#define UNIQUE UINT64_C(0x1234)
#define NODE   UINT64_C(7)

/* What the frontend was given last. */
static const void *seen_buffer;
static size_t seen_length;
static int result;

static int take_read(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	seen_buffer = buffer;
	seen_length = length;
	if (result)
		return result;
	memset(buffer, 'r', length);
	*ret_done = length;
	return 0;
}

static int take_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	seen_buffer = buffer;
	seen_length = length;
	*ret_done = length;
	return result;
}

static const struct zsd_frontend_ops ops = {.read = take_read, .write = take_write};

static struct zsd_ring ring;
static struct zsd_ring_entry entry;
static struct zsd_fuse_ring_header header;
static char payload[ZSD_FUSE_MAX_IO_BYTES];

static void set_up(void)
{
	ring.server.ops = &ops;
	entry = (struct zsd_ring_entry){.header = &header, .payload = payload};
	memset(&header, 0, sizeof(header));
	seen_buffer = NULL;
	result = 0;
}

TestSuite(ring_request, .init = set_up);

static void put_request(uint32_t opcode, const void *argument, size_t argument_length, size_t payload_length)
{
	header.in = (struct zsd_fuse_in_header){
		.length = (uint32_t)(sizeof(header.in) + argument_length + payload_length),
		.opcode = opcode,
		.unique = UNIQUE,
		.node = NODE,
	};
	memcpy(header.argument, argument, argument_length);
	header.payload_length = (uint32_t)payload_length;
}

static void put_read(uint32_t size)
{
	const struct zsd_fuse_read_in in = {.size = size};

	put_request(ZSD_FUSE_READ, &in, sizeof(in), 0);
}

static void put_write(uint32_t size)
{
	const struct zsd_fuse_write_in in = {.size = size};

	put_request(ZSD_FUSE_WRITE, &in, sizeof(in), size);
}

static void expect_answer(int error, size_t length)
{
	cr_expect_eq(header.out.error, error);
	cr_expect_eq(header.out.unique, UNIQUE);
	cr_expect_eq(header.payload_length, length);
	cr_expect_eq(header.out.length, sizeof(header.out) + length);
}

Test(ring_request, a_read_is_made_into_the_payload)
{
	put_read(8192);
	zsd_ring_answer(&ring, &entry);
	cr_expect_eq(seen_buffer, payload);
	expect_answer(0, 8192);
	cr_expect_eq(payload[8191], 'r');
}

Test(ring_request, a_write_is_taken_from_the_payload)
{
	const struct zsd_fuse_write_out *out = (const void *)payload;

	put_write(4096);
	zsd_ring_answer(&ring, &entry);
	cr_expect_eq(seen_buffer, payload);
	cr_expect_eq(seen_length, 4096);
	expect_answer(0, sizeof(*out));
	cr_expect_eq(out->size, 4096);
}

Test(ring_request, the_largest_requests_fit)
{
	put_read(ZSD_FUSE_MAX_IO_BYTES);
	zsd_ring_answer(&ring, &entry);
	expect_answer(0, ZSD_FUSE_MAX_IO_BYTES);
	put_write(ZSD_FUSE_MAX_IO_BYTES);
	zsd_ring_answer(&ring, &entry);
	expect_answer(0, sizeof(struct zsd_fuse_write_out));
}

Test(ring_request, a_failure_has_no_payload)
{
	result = -ENOSPC;
	put_write(4096);
	zsd_ring_answer(&ring, &entry);
	expect_answer(-ENOSPC, 0);
	result = -EIO;
	put_read(4096);
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EIO, 0);
}

Test(ring_request, lengths_that_can_not_be_are_refused)
{
	put_read(ZSD_FUSE_MAX_IO_BYTES + 1);
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EINVAL, 0);

	put_write(4096);
	header.payload_length = ZSD_FUSE_MAX_IO_BYTES + 1;
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EIO, 0);

	put_write(4096);
	header.in.length = sizeof(header.in);
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EIO, 0);

	put_read(4096);
	header.in.length = sizeof(header.in) + sizeof(header.argument) + 1;
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EIO, 0);

	put_write(4096);
	header.payload_length -= 1;
	zsd_ring_answer(&ring, &entry);
	expect_answer(-EINVAL, 0);
	cr_expect_null(seen_buffer);
}

Test(ring_request, what_has_to_wait_has_no_answer_until_it_was_waited_for)
{
	result = -EINPROGRESS;
	put_read(4096);
	cr_expect_not(zsd_ring_answer(&ring, &entry));
	result = 0;
	zsd_ring_answer_waiting(&ring.server, &entry);
	expect_answer(0, 4096);
	put_read(4096);
	cr_expect(zsd_ring_answer(&ring, &entry));
}

Test(ring_request, work_grows_with_the_data)
{
	put_read(4096);
	cr_expect_eq(zsd_ring_work(&entry), 1);
	put_write(31 << 10);
	cr_expect_eq(zsd_ring_work(&entry), 1);
	put_write(32 << 10);
	cr_expect_eq(zsd_ring_work(&entry), 2);
	put_read(1 << 20);
	cr_expect_eq(zsd_ring_work(&entry), 33);
	put_request(ZSD_FUSE_RELEASE, &(struct zsd_fuse_release_in){0}, sizeof(struct zsd_fuse_release_in), 0);
	cr_expect_eq(zsd_ring_work(&entry), 1);
}

Test(ring_request, large_is_what_a_wake_up_pays_for)
{
	put_read(4096);
	cr_expect_not(zsd_ring_is_large(&entry));
	put_read(1 << 20);
	cr_expect(zsd_ring_is_large(&entry));
	put_write((64 << 10) - 1);
	cr_expect_not(zsd_ring_is_large(&entry));
	put_write(64 << 10);
	cr_expect(zsd_ring_is_large(&entry));
	put_request(ZSD_FUSE_FALLOCATE, &(struct zsd_fuse_fallocate_in){.length = UINT64_MAX},
		    sizeof(struct zsd_fuse_fallocate_in), 0);
	cr_expect_not(zsd_ring_is_large(&entry));
}
