/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.prom: each open has a text of one piece, and many of them do not add up. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend_internal.h"
#include "support/data.h"
#include "support/small_store.h"

#define CAPACITY ((size_t)1 << 20)

static const struct zsd_frontend_ops *const ops = &zsd_store_frontend_ops;
static const struct zs_codec_params lz4 = {ZS_CODEC_LZ4, 1};
static struct zs_store *store;
static struct zsd_frontend *frontend;
static uint64_t node; /* of stats.prom */
static char *text;    /* what was read last */

static void create(void)
{
	uint64_t directory;

	store = test_store_create(0);
	cr_assert_eq(zsd_frontend_create(store, &frontend), 0);
	cr_assert_eq(ops->lookup(frontend, ZSD_ROOT_NODE, ZSD_REPORTS_NAME, &directory), 0);
	cr_assert_eq(ops->lookup(frontend, directory, "stats.prom", &node), 0);
	text = malloc(CAPACITY);
	cr_assert(text);
}

static void destroy(void)
{
	free(text);
	zsd_frontend_destroy(frontend);
	zs_store_close(store);
}

TestSuite(reports, .init = create, .fini = destroy);

static uint64_t open_text(void)
{
	uint64_t handle = 0;
	bool page_cache = true;

	cr_assert_eq(ops->open(frontend, node, false, &handle, &page_cache), 0);
	cr_assert_neq(handle & ZSD_HANDLE_BIT, 0);
	cr_assert_not(page_cache);
	return handle;
}

static int read_part(uint64_t handle, size_t offset, size_t length, size_t *ret_done)
{
	return ops->read(frontend, NULL, handle, offset, text + offset, length, ret_done);
}

/* In pieces, from an offset on. */
static void read_from(uint64_t handle, size_t offset, size_t piece)
{
	size_t done = 1;

	for (; done; offset += done) {
		cr_assert_lt(offset + piece, CAPACITY);
		done = 0;
		cr_assert_eq(read_part(handle, offset, piece, &done), 0);
	}
	text[offset] = 0;
}

/* As if a second had passed: the next open gets a new text. */
static void age_texts(void)
{
	for (unsigned int i = 0; i < ZSD_REPORT_TEXTS; i++)
		frontend->reports.texts[i].made_nsec = 0;
}

static unsigned int nr_texts(void)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ZSD_REPORT_TEXTS; i++)
		nr += frontend->reports.texts[i].bytes != NULL;
	return nr;
}

Test(reports, a_text_stays_the_same_while_others_open_newer_ones)
{
	size_t first = 100, done = 0;
	uint64_t old = open_text(), new;
	char *whole;

	read_from(old, 0, 1000);
	whole = strdup(text);
	memset(text, 0, CAPACITY);
	cr_assert_eq(read_part(old, 0, first, &done), 0);
	test_device_add(store, "vm0", 1 << 20, 4096, lz4);
	age_texts();
	new = open_text();
	read_from(old, first, 77);
	cr_assert_str_eq(text, whole);
	read_from(new, 0, 4096);
	cr_assert_neq(strstr(text, "device=\"vm0\""), NULL);
	cr_assert_eq(strstr(whole, "device=\"vm0\""), NULL);
	free(whole);
	ops->release(frontend, old);
	ops->release(frontend, new);
	cr_assert_eq(nr_texts(), 1, "only the newest is kept");
}

Test(reports, opens_at_the_same_time_share_a_text)
{
	uint64_t one = open_text(), two = open_text();

	cr_assert_eq(one, two);
	ops->release(frontend, one);
	age_texts();
	cr_assert_neq(open_text(), two);
	read_from(two, 0, 4096);
	cr_assert_eq(nr_texts(), 2);
	ops->release(frontend, two);
	cr_assert_eq(nr_texts(), 1);
}

Test(reports, who_holds_many_texts_loses_the_oldest)
{
	uint64_t handles[3 * ZSD_REPORT_TEXTS];
	size_t done;

	for (unsigned int i = 0; i < 3 * ZSD_REPORT_TEXTS; i++) {
		handles[i] = open_text();
		age_texts();
		cr_assert_leq(nr_texts(), ZSD_REPORT_TEXTS);
	}
	for (unsigned int i = 0; i < 3 * ZSD_REPORT_TEXTS; i++) {
		int expected = i < 2 * ZSD_REPORT_TEXTS ? -ESTALE : 0;

		cr_assert_eq(read_part(handles[i], 0, 100, &done), expected, "text %u", i);
		ops->release(frontend, handles[i]);
	}
	cr_assert_eq(nr_texts(), 1);
}

Test(reports, a_handle_that_nobody_gave_out_reads_nothing)
{
	size_t done = 7;

	cr_assert_eq(read_part(node, 0, 100, &done), -ESTALE);
	cr_assert_eq(read_part(node | ZSD_HANDLE_BIT, 0, 100, &done), -ESTALE);
	cr_assert_eq(read_part(open_text() + 1, 0, 100, &done), -ESTALE);
	cr_assert_eq(read_part(ZSD_HANDLE_BIT, 0, 100, &done), -ENODEV);
	cr_assert_eq(read_part(UINT64_MAX, 0, 100, &done), -EISDIR);
	cr_assert_eq(done, 7);
	ops->release(frontend, node | ZSD_HANDLE_BIT);
	ops->release(frontend, ZSD_HANDLE_BIT);
	ops->release(frontend, UINT64_MAX);
}
