#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the processor has beyond what every one of its kind has. Asking is one load and a branch, so callers ask each
 * time. The code for it is compiled everywhere, by its own flags or attributes; tests call all of it that can run.
 */

#include <stdbool.h>

static inline bool zs_processor_has_avx2(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

/*
 * AVX-512, but for the first generation, which has no VBMI: there a few wide instructions make all others slower for a
 * millisecond.
 */
static inline bool zs_processor_has_avx512(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vbmi");
#else
	return false;
#endif
}
