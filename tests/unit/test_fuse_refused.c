/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which FUSE requests are counted as refused: those that make no sense, or ask for what there is not; no others. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "fuse_request.h"

/* What the frontend says to everything. */
static int answer;

static int fake_read(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *done)
{
	return answer;
}

static int fake_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *done)
{
	return answer;
}

static int fake_discard(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	return answer;
}

static const struct zsd_frontend_ops fake_ops = {.read = fake_read, .write = fake_write, .discard = fake_discard};
static _Atomic uint64_t nr_refused;

static enum zsd_fuse_verdict ask(uint32_t opcode, const void *argument, size_t length, size_t payload_length,
				 struct zsd_fuse_reply *reply)
{
	static const struct zsd_fuse_server server = {.ops = &fake_ops, .nr_refused = &nr_refused};
	static char data[8];
	const struct zsd_fuse_in_header header = {.opcode = opcode};
	const struct zsd_fuse_request request = {
		.header = &header,
		.argument = argument,
		.argument_length = length,
		.payload = data,
		.payload_length = payload_length,
		.output = data,
		.output_capacity = sizeof(data),
	};

	return zsd_fuse_serve(&server, &request, reply);
}

static void expect(int error, uint32_t opcode, const void *argument, size_t length, size_t payload_length)
{
	struct zsd_fuse_reply reply;

	cr_assert_eq(ask(opcode, argument, length, payload_length, &reply), ZSD_FUSE_REPLY);
	cr_assert_eq(reply.header.error, error, "opcode %u: error %d", opcode, reply.header.error);
}

#define EXPECT(error, opcode, argument, payload_length)                                                                \
	expect(error, opcode, &(argument), sizeof(argument), payload_length)

Test(fuse_refused, what_is_malformed_or_not_supported_is_counted)
{
	struct zsd_fuse_read_in in = {.offset = UINT64_MAX, .size = 1};
	struct zsd_fuse_fallocate_in plain = {.length = 4096};
	struct zsd_fuse_lseek_in seek = {.whence = SEEK_SET};
	struct zsd_fuse_open_in open = {.flags = O_TRUNC};

	EXPECT(-EINVAL, ZSD_FUSE_READ, in, 0);
	EXPECT(-EINVAL, ZSD_FUSE_READ, in, 1);
	expect(-EINVAL, ZSD_FUSE_READ, &in, 7, 0);
	EXPECT(-EOPNOTSUPP, ZSD_FUSE_FALLOCATE, plain, 0);
	EXPECT(-EINVAL, ZSD_FUSE_LSEEK, seek, 0);
	EXPECT(-EPERM, ZSD_FUSE_OPEN, open, 0);
	cr_assert_eq(nr_refused, 6);
}

Test(fuse_refused, what_fails_in_the_frontend_is_not_counted)
{
	struct zsd_fuse_read_in in = {.size = 1};

	answer = -EIO;
	EXPECT(-EIO, ZSD_FUSE_READ, in, 0);
	EXPECT(-ENOSYS, ZSD_FUSE_FLUSH, (struct zsd_fuse_flush_in){0}, 0);
	cr_assert_eq(nr_refused, 0);
}

Test(fuse_refused, a_range_beyond_the_end_is_counted_and_lack_of_room_is_not)
{
	struct zsd_fuse_fallocate_in zero = {.length = 4096, .mode = FALLOC_FL_ZERO_RANGE};
	struct zsd_fuse_write_in in = {.size = 1};

	answer = -ERANGE;
	EXPECT(-ENOSPC, ZSD_FUSE_WRITE, in, 1);
	EXPECT(-ENOSPC, ZSD_FUSE_FALLOCATE, zero, 0);
	cr_assert_eq(nr_refused, 2);
	answer = -ENOSPC;
	EXPECT(-ENOSPC, ZSD_FUSE_WRITE, in, 1);
	EXPECT(-ENOSPC, ZSD_FUSE_FALLOCATE, zero, 0);
	cr_assert_eq(nr_refused, 2);
}

Test(fuse_refused, an_opcode_that_there_is_not_is_counted_and_one_that_libfuse_may_know_is_not)
{
	static const uint32_t unknown[] = {0, 7, 19, 54, 4095, 4096, UINT32_C(1) << 31, UINT32_MAX};
	static const uint32_t rare[] = {1, 3, 4, 22, 26, 38, 47, 52, 53};
	struct zsd_fuse_reply reply;

	for (size_t i = 0; i < ZS_ARRAY_SIZE(rare); i++)
		cr_assert_eq(ask(rare[i], "1234567", 8, 0, &reply), ZSD_FUSE_RARE);
	cr_assert_eq(nr_refused, 0);
	for (size_t i = 0; i < ZS_ARRAY_SIZE(unknown); i++) {
		cr_assert_eq(ask(unknown[i], "1234567", 8, 0, &reply), ZSD_FUSE_RARE);
		cr_assert_eq(nr_refused, i + 1);
	}
}
