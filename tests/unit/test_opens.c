/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often devices are open. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "frontend_opens.h"

/* Two devices that had the same index of the table, one after the other. */
#define OLD ((UINT64_C(7) << 12) | 5)
#define NEW ((UINT64_C(8) << 12) | 5)

static struct zsd_opens *opens;

static void opens_init(void)
{
	opens = calloc(1, sizeof(*opens));
	cr_assert(opens);
}

static void opens_deinit(void)
{
	free(opens);
}

TestSuite(opens, .init = opens_init, .fini = opens_deinit);

Test(opens, each_open_counts_until_it_is_removed)
{
	cr_assert_eq(zsd_opens_count(opens, OLD), 0);
	for (unsigned int i = 1; i <= 1000; i++) {
		cr_assert_eq(zsd_opens_add(opens, OLD), 0);
		cr_assert_eq(zsd_opens_count(opens, OLD), i);
	}
	for (unsigned int i = 1000; i-- > 0;) {
		zsd_opens_remove(opens, OLD);
		cr_assert_eq(zsd_opens_count(opens, OLD), i);
	}
	zsd_opens_remove(opens, OLD);
	cr_assert_eq(zsd_opens_count(opens, OLD), 0);
}

Test(opens, an_open_device_is_closed_by_force_only)
{
	unsigned int count = 99;

	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_close(opens, OLD, false, &count), -EBUSY);
	cr_assert_eq(count, 2);
	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	count = 99;
	cr_assert_eq(zsd_opens_close(opens, OLD, true, &count), 0);
	cr_assert_eq(count, 99);
	cr_assert_eq(zsd_opens_add(opens, OLD), -ESTALE);
	cr_assert_eq(zsd_opens_count(opens, OLD), 3);
}

Test(opens, a_closed_device_cannot_be_opened)
{
	unsigned int count;

	cr_assert_eq(zsd_opens_close(opens, OLD, false, &count), 0);
	cr_assert_eq(zsd_opens_add(opens, OLD), -ESTALE);
}

Test(opens, a_successor_starts_with_none)
{
	unsigned int count;

	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_close(opens, OLD, true, &count), 0);
	cr_assert_eq(zsd_opens_count(opens, NEW), 0);
	cr_assert_eq(zsd_opens_add(opens, NEW), 0);
	cr_assert_eq(zsd_opens_count(opens, NEW), 1);
}

Test(opens, the_last_release_of_a_removed_device_leaves_its_successor_alone)
{
	unsigned int count;

	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_close(opens, OLD, true, &count), 0);
	cr_assert_eq(zsd_opens_add(opens, NEW), 0);
	zsd_opens_remove(opens, OLD);
	cr_assert_eq(zsd_opens_count(opens, NEW), 1);
}

Test(opens, what_was_closed_can_be_opened_again)
{
	unsigned int count;

	cr_assert_eq(zsd_opens_close(opens, OLD, false, &count), 0);
	cr_assert_eq(zsd_opens_add(opens, OLD), -ESTALE);
	zsd_opens_reopen(opens, OLD);
	cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_count(opens, OLD), 1);
	/* A later device has the index by now: it is not the one that was meant. */
	cr_assert_eq(zsd_opens_close(opens, NEW, false, &count), 0);
	zsd_opens_reopen(opens, OLD);
	cr_assert_eq(zsd_opens_add(opens, NEW), -ESTALE);
}

Test(opens, more_than_a_million_are_refused)
{
	for (unsigned int i = 0; i < 0xfffff; i++)
		cr_assert_eq(zsd_opens_add(opens, OLD), 0);
	cr_assert_eq(zsd_opens_add(opens, OLD), -ENFILE);
	cr_assert_eq(zsd_opens_count(opens, OLD), 0xfffff);
}

static void *add_and_remove(void *argument)
{
	for (unsigned int i = 0; i < 100000; i++) {
		cr_assert_eq(zsd_opens_add(opens, NEW), 0);
		zsd_opens_remove(opens, NEW);
	}
	return NULL;
}

Test(opens, threads_do_not_lose_counts)
{
	pthread_t threads[4];

	cr_assert_eq(zsd_opens_add(opens, NEW), 0);
	for (unsigned int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_and_remove, NULL), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(zsd_opens_count(opens, NEW), 1);
}
