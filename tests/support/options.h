#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the model and stress tests are told: --seed N (random, and always printed, so that a failure can be repeated),
 * --operations N, --seconds N. The environment variable ZSD_TEST_LONG=1 multiplies the defaults of both amounts by 50.
 */

#include <stdint.h>

struct test_options {
	uint64_t seed;
	uint64_t operations;
	uint64_t seconds;
};

/* Under a sanitizer the same time is worth a quarter of the operations. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* Overrides the defaults in *options by the command line; prints the seed; exits with 2 on a wrong argument. */
void test_options_parse(struct test_options *options, int argc, char **argv);
