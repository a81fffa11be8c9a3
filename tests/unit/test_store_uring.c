/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing file where io_uring can't be had, or not all of it, or doesn't take what it is given. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <liburing.h>

#include "base/bits.h"
#include "support/cold.h"

#define NR 1200

static struct test_cold *cold;

/* What the system answers: this errno so many times. */
struct refusal {
	int error;
	unsigned int times;
	unsigned int nr; /* so far */
};

static struct refusal no_ring, no_files, no_buffers, no_submit, no_wait;

static bool refuses(struct refusal *refusal)
{
	if (refusal->nr == refusal->times)
		return false;
	refusal->nr++;
	return true;
}

/* Called by the library instead of liburing's. */

int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	int (*real)(unsigned int, struct io_uring *, unsigned int);

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return refuses(&no_ring) ? no_ring.error : real(entries, ring, flags);
}

int io_uring_register_files(struct io_uring *ring, const int *files, unsigned int nr)
{
	int (*real)(struct io_uring *, const int *, unsigned int);

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return refuses(&no_files) ? no_files.error : real(ring, files, nr);
}

int io_uring_register_buffers(struct io_uring *ring, const struct iovec *vectors, unsigned int nr)
{
	int (*real)(struct io_uring *, const struct iovec *, unsigned int);

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return refuses(&no_buffers) ? no_buffers.error : real(ring, vectors, nr);
}

int io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *);

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return refuses(&no_submit) ? no_submit.error : real(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned int nr)
{
	int (*real)(struct io_uring *, unsigned int);

	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return refuses(&no_wait) ? no_wait.error : real(ring, nr);
}

static void create_cold(void)
{
	cold = test_cold_create(0);
}

static void destroy_cold(void)
{
	test_cold_destroy(cold);
}

TestSuite(store_uring, .init = create_cold, .fini = destroy_cold);

/* Writes, collects and reads; all of it works. */
static void use(void)
{
	cr_assert_eq(test_cold_open(cold), 0);
	for (uint32_t i = 1; i <= NR; i++)
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	test_cold_flush(cold);
	test_cold_check(cold);
	for (uint32_t i = 1; i <= NR; i += 2)
		test_cold_free(cold, i);
	cr_assert_gt(test_cold_collect(cold, 30, 100), 0);
	test_cold_check(cold);
	cr_assert_eq(cold->nr_failed, 0);
	cr_assert_eq(test_cold_stats(cold).write_errors, 0);
	for (uint32_t i = 2; i <= NR; i += 2)
		test_cold_free(cold, i);
	test_cold_close(cold);
}

/* The same with each of these errors. */
static void use_with(struct refusal *refusal, const int *errors, size_t nr_errors, unsigned int times)
{
	for (size_t i = 0; i < nr_errors; i++) {
		*refusal = (struct refusal){.error = errors[i], .times = times};
		use();
		cr_assert_eq(refusal->nr, times);
	}
}

Test(store_uring, where_there_is_none_the_file_is_written_all_the_same)
{
	static const int errors[] = {-ENOSYS, -EPERM, -ENOMEM};

	use_with(&no_ring, errors, ZS_ARRAY_SIZE(errors), 1);
}

Test(store_uring, file_and_buffers_need_not_be_registered)
{
	static const int errors[] = {-ENOMEM, -EPERM, -EOPNOTSUPP};

	use_with(&no_files, errors, ZS_ARRAY_SIZE(errors), 1);
	use_with(&no_buffers, errors, ZS_ARRAY_SIZE(errors), 1);
	no_files = (struct refusal){.error = -ENOMEM, .times = 1};
	use_with(&no_buffers, errors, 1, 1);
}

Test(store_uring, what_is_not_taken_now_is_offered_again)
{
	static const int errors[] = {-EAGAIN, -EBUSY, -EINTR};

	use_with(&no_submit, errors, ZS_ARRAY_SIZE(errors), 20);
}

Test(store_uring, what_was_not_submitted_goes_when_it_is_waited_for)
{
	/* None taken; and what nobody expects. */
	static const int errors[] = {0, -EINVAL};

	use_with(&no_submit, errors, ZS_ARRAY_SIZE(errors), 5);
}

Test(store_uring, a_wait_that_is_interrupted_is_begun_anew)
{
	static const int errors[] = {-EINTR, -EAGAIN, -EBUSY, 0};

	/* A fast disk's writes may all be over when it comes to waiting, unless they are submitted then. */
	no_submit = (struct refusal){.error = 0, .times = UINT_MAX};
	use_with(&no_wait, errors, ZS_ARRAY_SIZE(errors), 3);
}
