/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of the model and stress tests. */

#include "support/options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONG_FACTOR	  50
#define SANITIZED_DIVISOR 4

static const struct option long_options[] = {
	{"seed", required_argument, NULL, 's'},
	{"operations", required_argument, NULL, 'o'},
	{"seconds", required_argument, NULL, 't'},
	{NULL, 0, NULL, 0},
};

static uint64_t parse_number(const char *program, const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "%s: '%s' is not a number\n", program, text);
		exit(2);
	}
	return number;
}

static uint64_t random_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec;
}

static void scale_defaults(struct test_options *options)
{
	const char *is_long = getenv("ZSD_TEST_LONG");

	if (TEST_SANITIZED)
		options->operations /= SANITIZED_DIVISOR;
	if (is_long && !strcmp(is_long, "1")) {
		options->operations *= LONG_FACTOR;
		options->seconds *= LONG_FACTOR;
	}
}

void test_options_parse(struct test_options *options, int argc, char **argv)
{
	int option;

	options->seed = random_seed();
	scale_defaults(options);
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 's')
			options->seed = parse_number(argv[0], optarg);
		else if (option == 'o')
			options->operations = parse_number(argv[0], optarg);
		else if (option == 't')
			options->seconds = parse_number(argv[0], optarg);
		else
			exit(2);
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
		exit(2);
	}
	printf("%s --seed %" PRIu64 "\n", argv[0], options->seed);
	fflush(stdout);
}
