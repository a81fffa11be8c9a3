#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Assertions and fault points.
 *
 * zs_assert() is always on: it guards against a caller's mistake and against our own corrupted metadata, where
 * stopping is better than answering wrong data. Whatever comes from outside (a request, a file, a lack of memory)
 * is an -errno instead. zs_debug_assert() is for checks too dear for a hot path; it is on in debug builds.
 *
 * A fault point is a call that tests can make fail: zs_fault() counts, and answers true once, at the count that
 * zs_fault_arm() set. Every allocation of the library passes one, so that a test can fail each of them in turn.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define zs_assert(expression)                                                                                          \
	do {                                                                                                           \
		if (__builtin_expect(!(expression), 0))                                                                \
			zs_assert_failed(#expression, __FILE__, __LINE__, __func__);                                   \
	} while (0)

/* Like zs_assert(), with the values that a reader of the message needs. */
#define zs_assert_msg(expression, ...)                                                                                 \
	do {                                                                                                           \
		if (__builtin_expect(!(expression), 0)) {                                                              \
			zs_assert_note(__VA_ARGS__);                                                                   \
			zs_assert_failed(#expression, __FILE__, __LINE__, __func__);                                   \
		}                                                                                                      \
	} while (0)

#ifdef ZS_DEBUG
#define zs_debug_assert(expression) zs_assert(expression)
#else
#define zs_debug_assert(expression) ((void)sizeof(!(expression)))
#endif

void zs_assert_failed(const char *expression, const char *file, int line, const char *function)
	__attribute__((noreturn));
void zs_assert_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * True if the armed count is reached by this call: the caller then behaves as if the resource were missing.
 * One relaxed load when nothing is armed. Context: any thread.
 */
bool zs_fault(void);

/* Makes the nth call of zs_fault() from now on answer true (1 = the next); 0 disarms. Tests only. */
void zs_fault_arm(uint64_t nth);

/* How many fault points were passed since the last zs_fault_arm(). Tests only. */
uint64_t zs_fault_passed(void);

/* malloc(3) and calloc(3) behind a fault point; NULL when memory is short. Free with free(3). */
void *zs_malloc(size_t size) __attribute__((malloc, warn_unused_result));
void *zs_calloc(size_t nr, size_t size) __attribute__((malloc, warn_unused_result));
