/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arena: create, open, refuse, populate, unmap, punch. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "support/mapped.h"
#include "support/small_store.h"
#include "zsmalloc/arena.h"

/* magic 8, version 4, regions 4, sizes and offsets 112, checksum 8, generation 8: zsmalloc/arena.c. */
#define HEADER_CHECKED_BYTES (8 + 4 + 4 + 8 + 8 + 2 * 8 * ZS_REGION_NR + 8)
#define VERSION_OFFSET	     8

static struct zs_arena arena_create(void)
{
	struct zs_arena_options options;
	struct zs_arena arena;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	return arena;
}

/* Asserts that opening answers result, and that nothing was changed by it. */
static void check_refused(int fd, int result)
{
	struct zs_arena arena = {.fd = 4711};
	uint64_t hash = test_arena_hash(fd);

	cr_assert_eq(zs_arena_open(&arena, fd), result);
	cr_assert_eq(arena.fd, 4711);
	cr_assert_eq(test_arena_hash(fd), hash);
}

Test(arena, regions_do_not_overlap_and_are_zero)
{
	struct zs_arena arena = arena_create();
	uint64_t end = ZS_PAGE_SIZE;

	for (enum zs_region region = 0; region < ZS_REGION_NR; region++) {
		cr_assert_geq(arena.region_offset[region], end);
		cr_assert_eq(arena.region_offset[region] % ZS_PAGE_SIZE, 0);
		end = arena.region_offset[region] + arena.region_bytes[region];
		cr_assert_eq(*(char *)zs_arena_at(&arena, region, 0), 0);
		cr_assert_eq(*(char *)zs_arena_at(&arena, region, arena.region_bytes[region] - 1), 0);
	}
	cr_assert_leq(end, arena.size_bytes);
	zs_arena_close(&arena);
}

Test(arena, the_default_costs_nothing_until_it_is_used)
{
	struct zs_arena_options options;
	struct zs_arena arena;

	zs_arena_options_default(&options, 0);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_leq(zs_arena_resident_bytes(&arena), 2 * ZS_PAGE_SIZE);
	zs_arena_close(&arena);
}

Test(arena, empty_and_absurd_regions_are_refused)
{
	static const uint64_t bad[] = {0, UINT64_C(1) << 56, UINT64_MAX};
	struct zs_arena_options options;
	struct zs_arena arena;

	for (enum zs_region region = 0; region < ZS_REGION_NR; region++) {
		for (unsigned int i = 0; i < ZS_ARRAY_SIZE(bad); i++) {
			test_arena_options(&options);
			options.region_bytes[region] = bad[i];
			cr_assert_eq(zs_arena_create(&arena, &options), -EINVAL);
		}
		test_arena_options(&options);
		options.region_bytes[region] = 1;
		cr_assert_eq(zs_arena_create(&arena, &options), 0);
		cr_assert_eq(arena.region_bytes[region], ZS_PAGE_SIZE);
		zs_arena_close(&arena);
	}
}

Test(arena, content_lives_while_a_descriptor_does)
{
	struct zs_arena arena = arena_create(), again;
	int fd = dup(arena.fd);

	for (enum zs_region region = 0; region < ZS_REGION_NR; region++)
		memset(zs_arena_at(&arena, region, ZS_PAGE_SIZE), 'a' + (int)region, ZS_PAGE_SIZE);
	zs_arena_close(&arena);
	cr_assert_eq(zs_arena_open(&again, fd), 0);
	cr_assert_neq(again.fd, fd);
	close(fd);
	for (enum zs_region region = 0; region < ZS_REGION_NR; region++) {
		cr_assert_eq(*(char *)zs_arena_at(&again, region, ZS_PAGE_SIZE), 'a' + (int)region);
		cr_assert_eq(*(char *)zs_arena_at(&again, region, 2 * ZS_PAGE_SIZE - 1), 'a' + (int)region);
	}
	zs_arena_close(&again);
}

Test(arena, nobody_can_shrink_the_file)
{
	struct zs_arena arena = arena_create();

	cr_assert_eq(ftruncate(arena.fd, ZS_PAGE_SIZE), -1);
	cr_assert_eq(ftruncate(arena.fd, (off_t)arena.size_bytes + 1), -1);
	zs_arena_close(&arena);
}

Test(arena, what_is_not_an_arena_is_refused)
{
	int empty = memfd_create("empty", 0), zeros = memfd_create("zeros", 0), null = open("/dev/null", O_RDWR);
	int directory = open("/", O_RDONLY), text = open("/proc/self/cmdline", O_RDONLY);
	struct zs_arena arena;

	cr_assert_eq(ftruncate(zeros, 1 << 20), 0);
	check_refused(empty, -EMEDIUMTYPE);
	check_refused(zeros, -EMEDIUMTYPE);
	cr_assert_eq(zs_arena_open(&arena, null), -EMEDIUMTYPE);
	cr_assert_eq(zs_arena_open(&arena, text), -EMEDIUMTYPE);
	cr_assert_lt(zs_arena_open(&arena, directory), 0);
	cr_assert_eq(zs_arena_open(&arena, -1), -EBADF);
	close(empty);
	close(zeros);
	close(null);
	close(directory);
	close(text);
}

Test(arena, older_and_newer_layouts_are_refused)
{
	static const uint32_t versions[] = {0, ZS_ARENA_LAYOUT_VERSION - 1, ZS_ARENA_LAYOUT_VERSION + 1, UINT32_MAX};
	struct zs_arena arena = arena_create();

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(versions); i++) {
		int copy = test_arena_copy(arena.fd);

		cr_assert_eq(pwrite(copy, &versions[i], sizeof(versions[i]), VERSION_OFFSET), sizeof(versions[i]));
		check_refused(copy, -EPROTONOSUPPORT);
		close(copy);
	}
	zs_arena_close(&arena);
}

Test(arena, truncated_and_extended_files_are_refused)
{
	struct zs_arena arena = arena_create();
	const off_t sizes[] = {1,
			       100,
			       ZS_PAGE_SIZE,
			       (off_t)arena.size_bytes / 2,
			       (off_t)arena.size_bytes - 1,
			       (off_t)arena.size_bytes + 1};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(sizes); i++) {
		int copy = test_arena_copy(arena.fd);

		cr_assert_eq(ftruncate(copy, sizes[i]), 0);
		check_refused(copy, i < 2 ? -EMEDIUMTYPE : -EBADMSG);
		close(copy);
	}
	zs_arena_close(&arena);
}

Test(arena, every_flipped_bit_of_the_header_is_found)
{
	struct zs_arena arena = arena_create(), again;
	int copy = test_arena_copy(arena.fd);
	unsigned int refused = 0;

	for (unsigned int bit = 0; bit < HEADER_CHECKED_BYTES * 8; bit++) {
		unsigned char byte, flipped;
		int error;

		cr_assert_eq(pread(copy, &byte, 1, bit / 8), 1);
		flipped = byte ^ (unsigned char)(1 << bit % 8);
		cr_assert_eq(pwrite(copy, &flipped, 1, bit / 8), 1);
		error = zs_arena_open(&again, copy);
		cr_assert(error == -EMEDIUMTYPE || error == -EPROTONOSUPPORT || error == -EBADMSG, "bit %u: %d", bit,
			  error);
		refused++;
		cr_assert_eq(pwrite(copy, &byte, 1, bit / 8), 1);
	}
	cr_assert_eq(refused, HEADER_CHECKED_BYTES * 8);
	cr_assert_eq(zs_arena_open(&again, copy), 0);
	zs_arena_close(&again);
	close(copy);
	zs_arena_close(&arena);
}

Test(arena, punched_pages_read_as_zeros_and_take_no_memory)
{
	struct zs_arena arena = arena_create();
	uint64_t before = zs_arena_resident_bytes(&arena);
	char *pages = zs_arena_at(&arena, ZS_REGION_PAGES, 0);

	cr_assert_eq(zs_arena_populate(&arena, ZS_REGION_PAGES, 0, 16 * ZS_PAGE_SIZE), 0);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + 16 * ZS_PAGE_SIZE);
	memset(pages, 1, 16 * ZS_PAGE_SIZE);
	zs_arena_punch(&arena, ZS_REGION_PAGES, 4 * ZS_PAGE_SIZE, 4 * ZS_PAGE_SIZE);
	cr_assert_eq(zs_arena_resident_bytes(&arena), before + 12 * ZS_PAGE_SIZE);
	cr_assert_eq(pages[4 * ZS_PAGE_SIZE - 1], 1);
	cr_assert_eq(pages[4 * ZS_PAGE_SIZE], 0);
	cr_assert_eq(pages[8 * ZS_PAGE_SIZE - 1], 0);
	cr_assert_eq(pages[8 * ZS_PAGE_SIZE], 1);
	zs_arena_punch(&arena, ZS_REGION_PAGES, 0, 0);
	zs_arena_close(&arena);
}

/* What process_madvise(2) fails with; 0: it is as this kernel has it. */
static int unmap_error;

long syscall(long number, ...)
{
	long (*real)(long, ...), with[6];
	va_list list;

	va_start(list, number);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(with); i++)
		with[i] = va_arg(list, long);
	va_end(list);
	*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (!unmap_error || number != SYS_process_madvise)
		return real(number, with[0], with[1], with[2], with[3], with[4], with[5]);
	errno = unmap_error;
	return -1;
}

/* Of the arena pages 1 and 3 to 5, and the first one of private memory. */
static void check_unmap(struct zs_arena *arena)
{
	char *shared = zs_arena_at(arena, ZS_REGION_PAGES, 0), *private = zs_reserve(2 * ZS_PAGE_SIZE);
	const struct iovec ranges[] = {
		{shared + ZS_PAGE_SIZE, ZS_PAGE_SIZE},
		{shared + 3 * ZS_PAGE_SIZE, 3 * ZS_PAGE_SIZE},
		{private, ZS_PAGE_SIZE},
	};

	memset(shared, 1, 8 * ZS_PAGE_SIZE);
	memset(private, 2, 2 * ZS_PAGE_SIZE);
	zs_unmap(ranges, ZS_ARRAY_SIZE(ranges));
	for (unsigned int i = 0; i < 8; i++)
		cr_assert_eq(test_is_mapped(shared + i * ZS_PAGE_SIZE), i != 1 && (i < 3 || i > 5), "%d, page %u",
			     unmap_error, i);
	for (unsigned int i = 0; i < 8 * ZS_PAGE_SIZE; i++)
		cr_assert_eq(shared[i], 1);
	cr_assert(!test_is_mapped(private) && test_is_mapped(private + ZS_PAGE_SIZE));
	cr_assert(private[0] == 0 && private[ZS_PAGE_SIZE] == 2);
	zs_reserve_free(private, 2 * ZS_PAGE_SIZE);
}

Test(arena, memory_is_unmapped_also_where_many_ranges_in_one_call_are_refused)
{
	/* What this kernel says; those before 6.15, 6.13 and 5.10; and a filter of system calls. */
	static const int errors[] = {0, EBADF, EINVAL, ENOSYS, EPERM};
	struct zs_arena arena = arena_create();

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(errors); i++) {
		unmap_error = errors[i];
		check_unmap(&arena);
	}
	zs_arena_close(&arena);
}

Test(arena, data_ranges_are_found_within_their_region)
{
	struct zs_arena arena = arena_create();
	uint64_t last = arena.region_bytes[ZS_REGION_SLOTS] - ZS_PAGE_SIZE, offset = 0, length = 0;

	cr_assert_not(zs_arena_next_data(&arena, ZS_REGION_SLOTS, &offset, &length));
	cr_assert_eq(zs_arena_populate(&arena, ZS_REGION_HANDLES, 0, ZS_PAGE_SIZE), 0);
	cr_assert_not(zs_arena_next_data(&arena, ZS_REGION_SLOTS, &offset, &length));
	cr_assert_eq(zs_arena_populate(&arena, ZS_REGION_SLOTS, 8 * ZS_PAGE_SIZE, 2 * ZS_PAGE_SIZE), 0);
	cr_assert_eq(zs_arena_populate(&arena, ZS_REGION_SLOTS, last, ZS_PAGE_SIZE), 0);
	cr_assert(zs_arena_next_data(&arena, ZS_REGION_SLOTS, &offset, &length));
	cr_assert_eq(offset, 8 * ZS_PAGE_SIZE);
	cr_assert_eq(length, 2 * ZS_PAGE_SIZE);
	offset += length;
	cr_assert(zs_arena_next_data(&arena, ZS_REGION_SLOTS, &offset, &length));
	cr_assert_eq(offset, last);
	cr_assert_eq(length, ZS_PAGE_SIZE);
	offset += length;
	cr_assert_not(zs_arena_next_data(&arena, ZS_REGION_SLOTS, &offset, &length));
	zs_arena_close(&arena);
}

Test(arena, generations_rise_also_over_a_restart)
{
	struct zs_arena arena = arena_create(), again;
	uint64_t first = zs_arena_next_generation(&arena);

	cr_assert_gt(first, 0);
	cr_assert_eq(zs_arena_next_generation(&arena), first + 1);
	cr_assert_eq(zs_arena_open(&again, arena.fd), 0);
	zs_arena_close(&arena);
	cr_assert_eq(zs_arena_next_generation(&again), first + 2);
	zs_arena_close(&again);
}

Test(arena, a_lack_of_memory_is_an_error_and_leaves_nothing_open)
{
	struct zs_arena_options options;
	struct zs_arena arena;
	int before, after;

	test_arena_options(&options);
	before = dup(0);
	zs_fault_arm(1);
	cr_assert_eq(zs_arena_create(&arena, &options), -ENOMEM);
	zs_fault_arm(0);
	after = dup(0);
	cr_assert_eq(after, before + 1);
	arena = arena_create();
	zs_fault_arm(1);
	cr_assert_eq(zs_arena_populate(&arena, ZS_REGION_PAGES, 0, ZS_PAGE_SIZE), -ENOMEM);
	zs_fault_arm(0);
	zs_arena_close(&arena);
}

Test(arena, the_node_of_a_page_is_one_of_the_machine)
{
	struct zs_arena arena = arena_create();
	int node = zs_arena_node(&arena, ZS_REGION_PAGES, 7 * ZS_PAGE_SIZE);
	char path[64];

	cr_assert_geq(node, 0);
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
	cr_assert(!access("/sys/devices/system/node", F_OK) ? !access(path, F_OK) : node == 0);
	zs_arena_close(&arena);
}
