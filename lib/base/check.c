/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assertions and fault points. */

#include "base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Calls left until the one that fails; 0 = disarmed. The sign bit is never reached: tests arm small numbers. */
static _Atomic uint64_t fault_left;
static _Atomic uint64_t fault_passed;
static _Atomic bool fault_counting;

void zs_assert_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("note: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

void zs_assert_failed(const char *expression, const char *file, int line, const char *function)
{
	fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, function, expression);
	abort();
}

bool zs_fault(void)
{
	uint64_t left;

	if (__builtin_expect(!atomic_load_explicit(&fault_counting, memory_order_relaxed), 1))
		return false;
	atomic_fetch_add_explicit(&fault_passed, 1, memory_order_relaxed);
	left = atomic_load_explicit(&fault_left, memory_order_relaxed);
	while (left) {
		if (atomic_compare_exchange_weak_explicit(&fault_left, &left, left - 1, memory_order_relaxed,
							  memory_order_relaxed))
			return left == 1;
	}
	return false;
}

void zs_fault_arm(uint64_t nth)
{
	atomic_store(&fault_passed, 0);
	atomic_store(&fault_left, nth);
	atomic_store(&fault_counting, nth != 0);
}

uint64_t zs_fault_passed(void)
{
	return atomic_load(&fault_passed);
}

void *zs_malloc(size_t size)
{
	return zs_fault() ? NULL : malloc(size);
}

void *zs_calloc(size_t nr, size_t size)
{
	return zs_fault() ? NULL : calloc(nr, size);
}
