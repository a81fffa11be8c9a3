/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FUSE requests that we serve ourselves: what is answered, what is refused, and that nothing unsound gets through. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "frontend.h"
#include "fuse_abi.h"
#include "fuse_request.h"
#include "support/random.h"

#define NODE	 5
#define UNIQUE	 0x123456789abcdefULL
#define CAPACITY 8192

/* A frontend that checks what it is asked for, and answers what the test wants. */
static struct {
	unsigned int calls;
	unsigned int opens;
	int answer;
	uint64_t node; /* of a read or a release */
	uint64_t offset;
	uint64_t length;
	bool flag; /* keep_size or data */
} seen;

static void see(uint64_t offset, uint64_t length, bool flag)
{
	cr_assert_leq(offset, INT64_MAX);
	cr_assert_leq(length, INT64_MAX - offset);
	seen.calls++;
	seen.offset = offset;
	seen.length = length;
	seen.flag = flag;
}

static int fake_read(void *frontend, void *thread, uint64_t node, uint64_t offset, void *buffer, size_t length,
		     size_t *ret_done)
{
	cr_assert_leq(length, CAPACITY);
	seen.node = node;
	see(offset, length, false);
	memset(buffer, 0xaa, length);
	*ret_done = length / 2;
	return seen.answer;
}

static int fake_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *ret_done)
{
	/* All of it can be read. */
	for (size_t i = 0; i < length; i++)
		seen.opens += ((const volatile char *)buffer)[i] & 0;
	see(offset, length, false);
	*ret_done = length;
	return seen.answer;
}

static int fake_discard(void *frontend, void *thread, uint64_t node, uint64_t offset, uint64_t length, bool keep_size)
{
	cr_assert_gt(length, 0);
	see(offset, length, keep_size);
	return seen.answer;
}

static int fake_seek(void *frontend, void *thread, uint64_t node, uint64_t offset, bool data, uint64_t *ret_offset)
{
	see(offset, 0, data);
	*ret_offset = 77;
	return seen.answer;
}

static int fake_open(void *frontend, uint64_t node, bool to_write, uint64_t *ret_handle, bool *ret_page_cache)
{
	*ret_handle = node;
	*ret_page_cache = seen.flag;
	seen.calls++;
	seen.opens += !seen.answer;
	return seen.answer;
}

static void fake_release(void *frontend, uint64_t node)
{
	seen.calls++;
	seen.opens--;
	seen.node = node;
}

static bool may_wait;

static void fake_allow_wait(void *frontend, void *thread, bool allowed)
{
	may_wait = allowed;
}

static const struct zsd_frontend_ops fake_ops = {
	.thread_allow_wait = fake_allow_wait,
	.read = fake_read,
	.write = fake_write,
	.discard = fake_discard,
	.seek = fake_seek,
	.open = fake_open,
	.release = fake_release,
};

static const struct zsd_fuse_server server = {.ops = &fake_ops};

/* What was asked last, and the reply. */
static _Alignas(8) char bytes[sizeof(struct zsd_fuse_in_header) + CAPACITY];
static char output[CAPACITY];
static struct zsd_fuse_request request;
static struct zsd_fuse_reply reply;

static enum zsd_fuse_verdict serve_bytes(size_t length)
{
	cr_assert(zsd_fuse_split(bytes, length, &request));
	request.output = output;
	request.output_capacity = CAPACITY;
	return zsd_fuse_serve(&server, &request, &reply);
}

static enum zsd_fuse_verdict ask(uint32_t opcode, const void *argument, size_t argument_length, size_t payload_length)
{
	struct zsd_fuse_in_header header = {
		.length = (uint32_t)(sizeof(header) + argument_length + payload_length),
		.opcode = opcode,
		.unique = UNIQUE,
		.node = NODE,
	};

	cr_assert_leq(header.length, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), argument, argument_length);
	return serve_bytes(header.length);
}

/* Asks; it must be answered, with this error. */
static void expect(int error, uint32_t opcode, const void *argument, size_t argument_length, size_t payload_length)
{
	cr_assert_eq(ask(opcode, argument, argument_length, payload_length), ZSD_FUSE_REPLY);
	cr_assert_eq(reply.header.error, error, "opcode %u: error %d", opcode, reply.header.error);
	cr_assert_eq(reply.header.unique, UNIQUE);
	cr_assert_eq(reply.header.length, sizeof(reply.header) + reply.body_length);
	cr_assert(!error || !reply.body_length);
}

#define EXPECT(error, opcode, argument, payload_length)                                                                \
	expect(error, opcode, &(argument), sizeof(argument), payload_length)

static void reset(void)
{
	memset(&seen, 0, sizeof(seen));
}

TestSuite(fuse_request, .init = reset);

Test(fuse_request, what_is_shorter_than_a_header_is_no_request)
{
	for (size_t length = 0; length < sizeof(struct zsd_fuse_in_header); length++) {
		struct zsd_fuse_in_header header = {.length = (uint32_t)length, .opcode = ZSD_FUSE_READ};

		memcpy(bytes, &header, sizeof(header));
		cr_assert_not(zsd_fuse_split(bytes, length, &request));
	}
}

Test(fuse_request, a_header_with_another_length_is_no_request)
{
	struct zsd_fuse_in_header header = {.opcode = ZSD_FUSE_READ};

	for (uint32_t length = 0; length < 200; length++) {
		header.length = length;
		memcpy(bytes, &header, sizeof(header));
		cr_assert_eq(zsd_fuse_split(bytes, 100, &request), length == 100);
	}
}

Test(fuse_request, an_argument_of_another_length_is_refused)
{
	static const struct {
		uint32_t opcode;
		size_t length;
	} cases[] = {
		{ZSD_FUSE_OPEN, sizeof(struct zsd_fuse_open_in)},
		{ZSD_FUSE_READ, sizeof(struct zsd_fuse_read_in)},
		{ZSD_FUSE_WRITE, sizeof(struct zsd_fuse_write_in)},
		{ZSD_FUSE_RELEASE, sizeof(struct zsd_fuse_release_in)},
		{ZSD_FUSE_FSYNC, sizeof(struct zsd_fuse_fsync_in)},
		{ZSD_FUSE_FLUSH, sizeof(struct zsd_fuse_flush_in)},
		{ZSD_FUSE_FALLOCATE, sizeof(struct zsd_fuse_fallocate_in)},
		{ZSD_FUSE_LSEEK, sizeof(struct zsd_fuse_lseek_in)},
	};
	const char zeros[64] = "";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t length = 0; length <= sizeof(zeros); length++) {
			if (length != cases[i].length)
				expect(-EINVAL, cases[i].opcode, zeros, length, 0);
		}
	}
	cr_assert_eq(seen.calls, 0);
}

Test(fuse_request, read_answers_what_the_frontend_read)
{
	struct zsd_fuse_read_in in = {.handle = NODE, .offset = 4096, .size = 1000};

	EXPECT(0, ZSD_FUSE_READ, in, 0);
	cr_assert_eq(reply.body, output);
	cr_assert_eq(reply.body_length, 500);
	cr_assert_eq(seen.offset, 4096);
	in.size = 0;
	EXPECT(0, ZSD_FUSE_READ, in, 0);
	in.size = CAPACITY;
	EXPECT(0, ZSD_FUSE_READ, in, 0);
}

Test(fuse_request, read_beyond_the_buffer_or_the_largest_offset_is_refused)
{
	static const struct zsd_fuse_read_in cases[] = {
		{.size = CAPACITY + 1},
		{.size = UINT32_MAX},
		{.offset = INT64_MAX, .size = 1},
		{.offset = (uint64_t)INT64_MAX + 1, .size = 1},
		{.offset = UINT64_MAX, .size = 4096},
		{.offset = INT64_MAX - 4095, .size = 4096 + 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT(-EINVAL, ZSD_FUSE_READ, cases[i], 0);
	cr_assert_eq(seen.calls, 0);
}

Test(fuse_request, write_with_less_or_more_data_than_it_says_is_refused)
{
	struct zsd_fuse_write_in in = {.size = 100};

	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 99);
	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 101);
	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 0);
	in.size = UINT32_MAX;
	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 100);
	in = (struct zsd_fuse_write_in){.size = 100, .offset = INT64_MAX - 99};
	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 100);
	in.offset = UINT64_MAX;
	EXPECT(-EINVAL, ZSD_FUSE_WRITE, in, 100);
	cr_assert_eq(seen.calls, 0);
	in.offset = INT64_MAX - 100;
	EXPECT(0, ZSD_FUSE_WRITE, in, 100);
	cr_assert_eq(((const struct zsd_fuse_write_out *)reply.body)->size, 100);
	in = (struct zsd_fuse_write_in){0};
	EXPECT(0, ZSD_FUSE_WRITE, in, 0);
}

Test(fuse_request, fallocate_takes_holes_and_zeroes_only)
{
	for (uint32_t mode = 0; mode < 256; mode++) {
		struct zsd_fuse_fallocate_in in = {.length = 4096, .mode = mode};
		bool served = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) || mode == FALLOC_FL_ZERO_RANGE ||
			      mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);

		EXPECT(served ? 0 : -EOPNOTSUPP, ZSD_FUSE_FALLOCATE, in, 0);
		if (served)
			cr_assert_eq(seen.flag, (mode & FALLOC_FL_KEEP_SIZE) != 0);
	}
	cr_assert_eq(seen.calls, 3);
}

Test(fuse_request, fallocate_of_nothing_or_beyond_the_largest_offset_is_refused)
{
	struct zsd_fuse_fallocate_in in = {.mode = FALLOC_FL_ZERO_RANGE};

	EXPECT(-EINVAL, ZSD_FUSE_FALLOCATE, in, 0);
	in.length = UINT64_MAX;
	EXPECT(-EINVAL, ZSD_FUSE_FALLOCATE, in, 0);
	in = (struct zsd_fuse_fallocate_in){.mode = FALLOC_FL_ZERO_RANGE, .offset = 1, .length = INT64_MAX};
	EXPECT(-EINVAL, ZSD_FUSE_FALLOCATE, in, 0);
	cr_assert_eq(seen.calls, 0);
}

Test(fuse_request, lseek_knows_data_and_holes)
{
	for (uint32_t whence = 0; whence < 10; whence++) {
		struct zsd_fuse_lseek_in in = {.offset = 5, .whence = whence};

		EXPECT(whence == SEEK_DATA || whence == SEEK_HOLE ? 0 : -EINVAL, ZSD_FUSE_LSEEK, in, 0);
		if (!reply.header.error)
			cr_assert_eq(((const struct zsd_fuse_lseek_out *)reply.body)->offset, 77);
	}
	EXPECT(-ENXIO, ZSD_FUSE_LSEEK, ((struct zsd_fuse_lseek_in){.offset = UINT64_MAX, .whence = SEEK_DATA}), 0);
}

Test(fuse_request, open_is_direct_and_never_truncates)
{
	struct zsd_fuse_open_in in = {.flags = O_RDWR};

	EXPECT(0, ZSD_FUSE_OPEN, in, 0);
	cr_assert_eq(((const struct zsd_fuse_open_out *)reply.body)->handle, NODE);
	cr_assert_eq(((const struct zsd_fuse_open_out *)reply.body)->open_flags,
		     ZSD_FUSE_OPEN_DIRECT_IO | ZSD_FUSE_OPEN_NOFLUSH | ZSD_FUSE_OPEN_PARALLEL_DIRECT_WRITES);
	cr_assert_eq(seen.opens, 1);
	in.flags |= O_TRUNC;
	EXPECT(-EPERM, ZSD_FUSE_OPEN, in, 0);
	cr_assert_eq(seen.opens, 1);
}

Test(fuse_request, a_handle_counts_only_with_its_bit)
{
	EXPECT(0, ZSD_FUSE_READ, ((struct zsd_fuse_read_in){.handle = 9, .size = 1}), 0);
	cr_assert_eq(seen.node, NODE);
	EXPECT(0, ZSD_FUSE_READ, ((struct zsd_fuse_read_in){.handle = ZSD_HANDLE_BIT | 9, .size = 1}), 0);
	cr_assert_eq(seen.node, ZSD_HANDLE_BIT | 9);
	EXPECT(0, ZSD_FUSE_RELEASE, ((struct zsd_fuse_release_in){.handle = ZSD_HANDLE_BIT | 8}), 0);
	cr_assert_eq(seen.node, ZSD_HANDLE_BIT | 8);
}

Test(fuse_request, an_open_of_a_cached_file_keeps_the_cache)
{
	struct zsd_fuse_open_in in = {.flags = O_RDWR};

	seen.flag = true;
	EXPECT(0, ZSD_FUSE_OPEN, in, 0);
	cr_assert_eq(((const struct zsd_fuse_open_out *)reply.body)->open_flags, ZSD_FUSE_OPEN_KEEP_CACHE);
}

Test(fuse_request, an_open_that_nobody_took_is_released)
{
	struct zsd_fuse_open_in in = {.flags = O_RDWR};

	EXPECT(0, ZSD_FUSE_OPEN, in, 0);
	zsd_fuse_undelivered(&server, &request, &reply);
	cr_assert_eq(seen.opens, 0);
	seen.answer = -ESTALE;
	EXPECT(-ESTALE, ZSD_FUSE_OPEN, in, 0);
	zsd_fuse_undelivered(&server, &request, &reply);
	cr_assert_eq(seen.opens, 0);
}

Test(fuse_request, flushing_is_said_to_be_unnecessary)
{
	EXPECT(-ENOSYS, ZSD_FUSE_FSYNC, (struct zsd_fuse_fsync_in){0}, 0);
	EXPECT(-ENOSYS, ZSD_FUSE_FLUSH, (struct zsd_fuse_flush_in){0}, 0);
}

Test(fuse_request, an_error_that_the_kernel_would_not_take_becomes_EIO)
{
	struct zsd_fuse_read_in in = {.size = 1};
	static const int cases[][2] = {{-EIO, -EIO}, {-511, -511}, {-512, -EIO}, {-4095, -EIO}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		seen.answer = cases[i][0];
		EXPECT(cases[i][1], ZSD_FUSE_READ, in, 0);
	}
}

Test(fuse_request, what_expects_no_answer_gets_none_and_the_rest_is_libfuses)
{
	for (uint32_t opcode = 0; opcode < 5000; opcode++) {
		enum zsd_fuse_verdict verdict = ask(opcode, "12345678901234567890", 20, 0);

		switch (opcode) {
		case ZSD_FUSE_FORGET:
		case ZSD_FUSE_BATCH_FORGET:
		case ZSD_FUSE_INTERRUPT:
			cr_assert_eq(verdict, ZSD_FUSE_SILENT);
			break;
		case ZSD_FUSE_OPEN:
		case ZSD_FUSE_READ:
		case ZSD_FUSE_WRITE:
		case ZSD_FUSE_RELEASE:
		case ZSD_FUSE_FSYNC:
		case ZSD_FUSE_FLUSH:
		case ZSD_FUSE_FALLOCATE:
		case ZSD_FUSE_LSEEK:
			cr_assert_eq(verdict, ZSD_FUSE_REPLY);
			break;
		default:
			cr_assert_eq(verdict, ZSD_FUSE_RARE);
		}
	}
}

Test(fuse_request, a_long_discard_takes_long)
{
	struct zsd_fuse_fallocate_in in = {.length = (16 << 20) - 1, .mode = FALLOC_FL_ZERO_RANGE};

	EXPECT(0, ZSD_FUSE_FALLOCATE, in, 0);
	cr_assert_not(zsd_fuse_takes_long(&request));
	in.length++;
	EXPECT(0, ZSD_FUSE_FALLOCATE, in, 0);
	cr_assert(zsd_fuse_takes_long(&request));
	in.length = UINT64_MAX;
	EXPECT(-EINVAL, ZSD_FUSE_FALLOCATE, in, 0);
	cr_assert(zsd_fuse_takes_long(&request));
	expect(-EINVAL, ZSD_FUSE_FALLOCATE, &in, 31, 0);
	cr_assert_not(zsd_fuse_takes_long(&request));
	EXPECT(0, ZSD_FUSE_READ, ((struct zsd_fuse_read_in){.size = CAPACITY}), 0);
	cr_assert_not(zsd_fuse_takes_long(&request));
}

/* The fake frontend asserts that what arrives is sound; the sanitizers that nothing else is touched. */
Test(fuse_request, random_bytes_get_a_sound_answer)
{
	static const uint32_t opcodes[] = {14, 15, 16, 18, 20, 25, 43, 46};
	struct test_random random = {.state = 20};

	for (unsigned int i = 0; i < 200000; i++) {
		size_t length = sizeof(struct zsd_fuse_in_header) + test_random_below(&random, 128);
		struct zsd_fuse_in_header header;

		for (size_t j = 0; j < length; j++)
			bytes[j] = test_random_chance(&random, 30) ? (char)test_random_below(&random, 256) : 0;
		memcpy(&header, bytes, sizeof(header));
		header.length = (uint32_t)length;
		header.opcode = opcodes[test_random_below(&random, sizeof(opcodes) / sizeof(opcodes[0]))];
		memcpy(bytes, &header, sizeof(header));
		cr_assert_eq(serve_bytes(length), ZSD_FUSE_REPLY);
		cr_assert_eq(reply.header.unique, header.unique);
		cr_assert_leq(reply.header.error, 0);
		cr_assert_eq(reply.header.length, sizeof(reply.header) + reply.body_length);
	}
}

/*
 * waiting
 */

/* The first half is done at once, the other one by who may wait. */
static int half_write(void *frontend, void *thread, uint64_t node, uint64_t offset, const void *buffer, size_t length,
		      size_t *done)
{
	cr_assert_eq(*done, may_wait ? length / 2 : 0);
	*done = may_wait ? length : length / 2;
	return may_wait ? 0 : -EINPROGRESS;
}

Test(fuse_request, what_has_to_wait_is_gone_on_with_where_it_stopped)
{
	static const struct zsd_frontend_ops half_ops = {.thread_allow_wait = fake_allow_wait, .write = half_write};
	static const struct zsd_fuse_server half_server = {.ops = &half_ops};
	const struct zsd_fuse_write_in in = {.size = 4096};
	struct zsd_fuse_in_header header = {.length = sizeof(header) + sizeof(in) + 4096, .opcode = ZSD_FUSE_WRITE};

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &in, sizeof(in));
	cr_assert(zsd_fuse_split(bytes, header.length, &request));
	may_wait = false;
	cr_assert_eq(zsd_fuse_serve(&half_server, &request, &reply), ZSD_FUSE_WAIT);
	cr_assert_eq(reply.done, 2048);
	request.done = reply.done;
	zsd_fuse_serve_waiting(&half_server, &request, &reply);
	cr_assert_eq(reply.header.error, 0);
	cr_assert_eq(reply.small.write.size, 4096);
	cr_assert_not(may_wait);
}

Test(fuse_request, who_can_not_do_all_of_it_at_once_says_so_for_each_kind_of_data)
{
	const struct zsd_fuse_read_in read = {.size = 4096};
	const struct zsd_fuse_write_in write = {.size = 512};
	const struct zsd_fuse_fallocate_in discard = {.length = 4096,
						      .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};

	seen.answer = -EINPROGRESS;
	cr_assert_eq(ask(ZSD_FUSE_READ, &read, sizeof(read), 0), ZSD_FUSE_WAIT);
	cr_assert_eq(reply.done, 2048);
	cr_assert_eq(ask(ZSD_FUSE_WRITE, &write, sizeof(write), 512), ZSD_FUSE_WAIT);
	cr_assert_eq(ask(ZSD_FUSE_FALLOCATE, &discard, sizeof(discard), 0), ZSD_FUSE_WAIT);
	cr_assert_eq(reply.done, 0);
	seen.answer = 0;
}
