/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page migration: which pages may be moved, and what the accounts say then. */

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>

#include "support/small_store.h"
#include "zsmalloc/account.h"
#include "zsmalloc/pool_internal.h"

#define OWNER	     7
#define OBJECT_BYTES 1000

static struct zs_arena arena;
static struct zs_heap *heap;
static struct zs_pool *pool, *other;
static unsigned int nr_moved;

static int count_move(void *context, uint32_t page, unsigned int node)
{
	nr_moved++;
	return 0;
}

static void start(const struct zs_account_options *account)
{
	struct zs_arena_options options;

	test_arena_options(&options);
	cr_assert_eq(zs_arena_create(&arena, &options), 0);
	cr_assert_eq(zs_heap_create(&arena, true, &heap), 0);
	cr_assert_eq(zs_heap_start_account(heap, account), 0);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
	cr_assert_eq(zs_pool_create(heap, &other), 0);
}

static void migrate_create(void)
{
	static const struct zs_account_options account = {.nr_nodes = 2, .move_page = count_move};

	start(&account);
}

static void migrate_destroy(void)
{
	zs_pool_destroy(other);
	zs_pool_destroy(pool);
	zs_heap_destroy(heap);
	zs_arena_close(&arena);
}

TestSuite(migrate, .init = migrate_create, .fini = migrate_destroy);

static struct zs_handle alloc(struct zs_pool *of)
{
	static const char payload[OBJECT_BYTES];
	struct zs_object_info info = {.size = OBJECT_BYTES, .owner = OWNER};
	struct zs_handle handle;

	cr_assert_eq(zs_pool_alloc(of, OBJECT_BYTES, ZS_URGENCY_NEW, &handle), 0);
	zs_obj_write(of, handle, &info, payload);
	return handle;
}

static void free_object(struct zs_pool *of, struct zs_handle handle)
{
	struct zs_object_info info;

	zs_pool_free(of, handle, &info);
}

static uint32_t page_of(struct zs_handle handle)
{
	return zs_handle_location(atomic_load(heap_handle_word(heap, handle.index))).page;
}

static uint64_t bytes_on(unsigned int node)
{
	struct zs_account_sum sum;

	zs_account_get(zs_heap_account(heap), OWNER, node, &sum);
	return sum.payload_bytes;
}

Test(migrate, a_page_takes_the_charges_of_its_objects_along)
{
	struct zs_handle handle = alloc(pool);

	cr_expect_eq(bytes_on(0), OBJECT_BYTES);
	cr_expect_eq(zs_pool_migrate_page(pool, page_of(handle), 1), 0);
	cr_expect_eq(nr_moved, 1);
	cr_expect_eq(bytes_on(0), 0);
	cr_expect_eq(bytes_on(1), OBJECT_BYTES);
	free_object(pool, handle);
	cr_expect_eq(bytes_on(1), 0);
}

Test(migrate, the_page_of_another_pool_is_refused_and_charged_as_before)
{
	/* Of one class, so that nothing but the pool tells their zspages apart. */
	struct zs_handle own = alloc(pool), foreign = alloc(other);

	cr_expect_eq(zs_pool_migrate_page(pool, page_of(foreign), 1), -EINVAL);
	cr_expect_eq(zs_pool_migrate_page(other, page_of(own), 1), -EINVAL);
	cr_expect_eq(nr_moved, 0);
	cr_expect_eq(bytes_on(0), 2 * OBJECT_BYTES);
	cr_expect_eq(zs_account_node(zs_heap_account(heap), page_of(foreign)), 0);
	cr_expect_eq(zs_pool_migrate_page(other, page_of(foreign), 1), 0);
	cr_expect_eq(bytes_on(1), OBJECT_BYTES);
	free_object(pool, own);
	free_object(other, foreign);
}

Test(migrate, what_is_no_page_of_a_zspage_or_no_node_is_refused)
{
	struct zs_handle handle = alloc(pool);
	uint32_t page = page_of(handle);

	cr_expect_eq(zs_pool_migrate_page(pool, page, 2), -EINVAL);
	cr_expect_eq(zs_pool_migrate_page(pool, UINT32_MAX, 1), -EINVAL);
	cr_expect_eq(zs_pool_migrate_page(pool, page + 1000, 1), -EINVAL);
	free_object(pool, handle);
	zs_pool_destroy(pool);
	cr_expect_eq(zs_pool_migrate_page(other, page, 1), -EINVAL);
	cr_assert_eq(zs_pool_create(heap, &pool), 0);
	cr_expect_eq(nr_moved, 0);
}

/* Not every system has the call, and not every container may use it. */
static bool may_move_pages(uint32_t page)
{
	int error = zs_arena_move_page(&arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT, 0);

	return error != -EPERM && error != -ENOSYS;
}

Test(migrate, a_page_goes_where_the_system_moves_it_and_nowhere_else)
{
	static const struct zs_account_options account = {.nr_nodes = 1};
	struct zs_handle handle;
	uint32_t page;

	migrate_destroy();
	start(&account);
	handle = alloc(pool);
	page = page_of(handle);
	if (!may_move_pages(page)) {
		free_object(pool, handle);
		cr_skip_test("no move_pages(2) here");
	}
	cr_expect_eq(zs_pool_migrate_page(pool, page, 0), 0);
	cr_expect_eq(bytes_on(0), OBJECT_BYTES);
	cr_expect_eq(zs_arena_node(&arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT), 0);
	/* One that nobody has touched, and a node that no machine has. */
	cr_expect_eq(zs_arena_move_page(&arena, ZS_REGION_PAGES, (uint64_t)(page + 1000) << ZS_PAGE_SHIFT, 0), -ENOENT);
	cr_expect_eq(zs_arena_move_page(&arena, ZS_REGION_PAGES, (uint64_t)page << ZS_PAGE_SHIFT, INT_MAX), -ENODEV);
	free_object(pool, handle);
}
