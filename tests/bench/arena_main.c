/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Benchmarks of the allocator and of what the store does with it: arena NAME [OPTIONS]; see arena_bench.h. It is run by
 * bench_arena.py. Exit codes: 0; 1 something failed (the reason is on stderr); 2 usage.
 */

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arena_bench.h"

static const char usage_text[] =
	"usage: arena NAME [--corpus FILE] [--trace FILE] [--variant NAME] [--threads N] [--devices N] [--blocks N]\n"
	"             [--size BYTES] [--seed N] [--block BYTES] [--backing FILE]\n";

static const struct bench {
	const char *name;
	void (*run)(const struct bench_options *options);
} benches[] = {
	{"account", bench_account},	  {"alloc", bench_alloc},	  {"caches", bench_caches},
	{"compact", bench_compact},	  {"geometry", bench_geometry},	  {"lifetimes", bench_lifetimes},
	{"locks", bench_locks},		  {"pools", bench_pools},	  {"punch", bench_punch},
	{"remove", bench_remove},	  {"trace", bench_trace},	  {"hot", bench_hot},
	{"recompress", bench_recompress}, {"writeback", bench_writeback}, {"zipf", bench_zipf},
};

void bench_die(int error, const char *format, ...)
{
	va_list arguments;

	fputs("arena: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (error)
		fprintf(stderr, ": %s", strerror(abs(error)));
	fputc('\n', stderr);
	exit(1);
}

void bench_check(int error, const char *what)
{
	if (error)
		bench_die(error, "%s", what);
}

bool bench_is(const struct bench_options *options, const char *variant)
{
	return !strcmp(options->variant, variant);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_thread_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static void *thread_main(void *argument)
{
	struct bench_thread *thread = argument;

	thread->run(thread);
	return NULL;
}

void bench_threads_start(struct bench_thread *threads, unsigned int nr, uint64_t seed,
			 void (*run)(struct bench_thread *thread), void *context)
{
	for (unsigned int i = 0; i < nr; i++) {
		threads[i] = (struct bench_thread){
			.number = i, .random = seed * BENCH_THREADS_MAX + i, .context = context, .run = run};
		bench_check(pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]), "pthread_create");
	}
}

void bench_threads_join(struct bench_thread *threads, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i].thread, NULL);
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
	char *end;
	unsigned long long number = strtoull(text, &end, 10);

	if (end == text || *end || *text == '-')
		return false;
	*ret_number = number;
	return true;
}

static bool parse_option(struct bench_options *options, int option, const char *text)
{
	uint64_t number;

	switch (option) {
	case 'c':
		options->corpus_path = text;
		return true;
	case 't':
		options->trace_path = text;
		return true;
	case 'v':
		options->variant = text;
		return true;
	case 'f':
		options->backing_path = text;
		return true;
	}
	if (option == '?' || !parse_number(text, &number))
		return false;
	switch (option) {
	case 'T':
		options->nr_threads = (unsigned int)number;
		return number && number <= BENCH_THREADS_MAX;
	case 'd':
		options->nr_devices = (unsigned int)number;
		return number && number <= 4096;
	case 'b':
		options->nr_blocks = number;
		return true;
	case 'B':
		options->block_bytes = (uint32_t)number;
		return number && number <= 65536;
	case 'S':
		options->size_bytes = number;
		return number && number % BENCH_BLOCK_BYTES == 0;
	default:
		options->seed = number;
		return true;
	}
}

static bool parse_options(struct bench_options *options, int argc, char **argv)
{
	static const struct option table[] = {
		{"corpus", required_argument, NULL, 'c'},
		{"trace", required_argument, NULL, 't'},
		{"variant", required_argument, NULL, 'v'},
		{"threads", required_argument, NULL, 'T'},
		{"devices", required_argument, NULL, 'd'},
		{"blocks", required_argument, NULL, 'b'},
		{"size", required_argument, NULL, 'S'},
		{"block", required_argument, NULL, 'B'},
		{"backing", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (!parse_option(options, option, optarg))
			return false;
	}
	return optind == argc - 1;
}

int main(int argc, char **argv)
{
	struct bench_options options = {.variant = "", .nr_devices = 1, .seed = 1};

	if (!parse_options(&options, argc, argv)) {
		fputs(usage_text, stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
		if (strcmp(benches[i].name, argv[optind]))
			continue;
		benches[i].run(&options);
		return fflush(stdout) ? 1 : 0;
	}
	fprintf(stderr, "arena: no benchmark '%s'\n", argv[optind]);
	return 2;
}
