/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Load generator of the benchmarks: reads or writes a file or block device with real data and prints what it saw as
 * one line of JSON. fio can't take the data of its writes from a file, and how well data compresses decides the result.
 *
 * The corpus is mapped, faulted in and locked before the clock starts, so that the page cache of its file is what is
 * written from. Exit codes: 0; 1 an operation failed (the reason is on stderr); 2 usage.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "load_job.h"

#define JOBS_MAX	16
#define BLOCK_MAX_BYTES LOAD_CHUNK_BYTES
#define BLOCK_MIN_BYTES 512

static const char usage_text[] =
	"usage: load --corpus FILE --path PATH... --mode MODE [--block BYTES] [--depth N] [--jobs N] [--region BYTES]\n"
	"            [--ramp SECONDS] [--seconds SECONDS] [--seed N] [--spread] [--window SECONDS] [--settle SECONDS]\n"
	"\n"
	"modes: fill, verify                  one sequential pass: write the corpus; read it and compare\n"
	"       seqwrite, seqread             sequential, for SECONDS\n"
	"       randwrite, randread           random offsets (and random blocks of the corpus), for SECONDS\n"
	"       mixed                         the same, 70 % reads and 30 % writes\n"
	"Jobs take the paths in turn; there are as many jobs as paths at least. With --spread, for random offsets,\n"
	"each job has all paths, and takes one by chance for each operation.\n"
	"With --window, latencies are told for each window of this length as well, without those of its first\n"
	"--settle SECONDS (see load_windows.h).\n";

struct mode {
	const char *name;
	unsigned int write_percent;
	bool random, verify, timed;
};

static const struct mode modes[] = {
	{.name = "fill", .write_percent = 100},
	{.name = "verify", .verify = true},
	{.name = "seqwrite", .write_percent = 100, .timed = true},
	{.name = "seqread", .timed = true},
	{.name = "randwrite", .write_percent = 100, .random = true, .timed = true},
	{.name = "randread", .random = true, .timed = true},
	{.name = "mixed", .write_percent = 30, .random = true, .timed = true},
};

struct arguments {
	struct load_plan plan;
	struct load_windows windows; /* their length only */
	const char *corpus_path;
	const struct mode *mode;
	const char *paths[LOAD_PATHS_MAX];
	unsigned int nr_paths;
	bool spread;
	unsigned int nr_jobs;
};

struct worker {
	pthread_t thread;
	unsigned int number;
	struct load_plan plan;
	struct load_windows windows;
	struct load_result result;
	int status;
};

static const struct mode *mode_find(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	}
	return NULL;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

static bool parse_seconds(const char *text, uint64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 3600))
		return false;
	*ret_ns = (uint64_t)(seconds * 1e9);
	return true;
}

static bool parse_option(struct arguments *arguments, int option, const char *text)
{
	struct load_plan *plan = &arguments->plan;
	uint64_t number;

	switch (option) {
	case 'c':
		arguments->corpus_path = text;
		return true;
	case 'p':
		if (arguments->nr_paths == LOAD_PATHS_MAX)
			return false;
		arguments->paths[arguments->nr_paths++] = text;
		return true;
	case 'm':
		arguments->mode = mode_find(text);
		return arguments->mode;
	case 'b':
		if (!parse_number(text, BLOCK_MIN_BYTES, BLOCK_MAX_BYTES, &number) || LOAD_CHUNK_BYTES % number)
			return false;
		plan->block_bytes = number;
		return true;
	case 'd':
		if (!parse_number(text, 1, LOAD_DEPTH_MAX, &number))
			return false;
		plan->depth = (unsigned int)number;
		return true;
	case 'j':
		if (!parse_number(text, 1, JOBS_MAX, &number))
			return false;
		arguments->nr_jobs = (unsigned int)number;
		return true;
	case 'r':
		return parse_number(text, LOAD_CHUNK_BYTES, UINT64_MAX / 2, &plan->region_bytes) &&
		       plan->region_bytes % LOAD_CHUNK_BYTES == 0;
	case 'R':
		return parse_seconds(text, &plan->ramp_ns);
	case 's':
		return parse_seconds(text, &plan->limit_ns) && plan->limit_ns;
	case 'S':
		return parse_number(text, 0, UINT64_MAX, &plan->seed);
	case 'P':
		arguments->spread = true;
		return true;
	case 'w':
		return parse_seconds(text, &arguments->windows.length_ns) && arguments->windows.length_ns;
	case 'W':
		return parse_seconds(text, &arguments->windows.settle_ns);
	default:
		return false;
	}
}

static bool are_windows_sound(const struct arguments *arguments)
{
	const struct load_windows *windows = &arguments->windows;

	if (!windows->length_ns)
		return !windows->settle_ns;
	return arguments->mode->timed && windows->settle_ns < windows->length_ns &&
	       arguments->plan.limit_ns / windows->length_ns <= LOAD_WINDOWS_MAX;
}

static bool parse_arguments(struct arguments *arguments, int argc, char **argv)
{
	static const struct option options[] = {
		{"corpus", required_argument, NULL, 'c'},  {"path", required_argument, NULL, 'p'},
		{"mode", required_argument, NULL, 'm'},	   {"block", required_argument, NULL, 'b'},
		{"depth", required_argument, NULL, 'd'},   {"jobs", required_argument, NULL, 'j'},
		{"region", required_argument, NULL, 'r'},  {"ramp", required_argument, NULL, 'R'},
		{"seconds", required_argument, NULL, 's'}, {"seed", required_argument, NULL, 'S'},
		{"spread", no_argument, NULL, 'P'},	   {"window", required_argument, NULL, 'w'},
		{"settle", required_argument, NULL, 'W'},  {NULL, 0, NULL, 0},
	};
	int option;

	*arguments = (struct arguments){
		.plan = {.block_bytes = LOAD_CHUNK_BYTES, .depth = 1, .limit_ns = 1000000000, .seed = 1},
		.nr_jobs = 1,
	};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (!parse_option(arguments, option, optarg)) {
			if (option != '?')
				fprintf(stderr, "load: bad value: %s\n", optarg);
			return false;
		}
	}
	if (optind != argc || !arguments->corpus_path || !arguments->nr_paths || !arguments->mode)
		return false;
	if ((arguments->spread && !arguments->mode->random) || !are_windows_sound(arguments))
		return false;
	arguments->plan.write_percent = arguments->mode->write_percent;
	arguments->plan.random = arguments->mode->random;
	arguments->plan.verify = arguments->mode->verify;
	if (!arguments->mode->timed)
		arguments->plan.ramp_ns = arguments->plan.limit_ns = 0;
	if (!arguments->spread && arguments->nr_jobs < arguments->nr_paths)
		arguments->nr_jobs = arguments->nr_paths;
	return arguments->nr_jobs <= JOBS_MAX;
}

/* Maps the corpus in whole chunks; the region defaults to its size. It stays mapped until the process ends. */
static int map_corpus(struct load_plan *plan, const char *path)
{
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *corpus;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	plan->corpus_bytes = (uint64_t)status.st_size / LOAD_CHUNK_BYTES * LOAD_CHUNK_BYTES;
	if (!plan->corpus_bytes)
		return -ENODATA;
	corpus = mmap(NULL, plan->corpus_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (corpus == MAP_FAILED)
		return -errno;
	/* Without the right to lock it the page cache keeps it just as well, unless memory is short. */
	(void)mlock(corpus, plan->corpus_bytes);
	plan->corpus = corpus;
	if (!plan->region_bytes)
		plan->region_bytes = plan->corpus_bytes;
	return 0;
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;

	worker->status = load_job_run(&worker->plan, worker->number, &worker->result);
	return NULL;
}

/* The same windows for all: they begin when the ramp is over. */
static int init_windows(struct worker *workers, const struct arguments *arguments)
{
	struct timespec now;
	int status = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (unsigned int i = 0; i < arguments->nr_jobs && !status; i++) {
		workers[i].windows = arguments->windows;
		status = load_windows_init(&workers[i].windows,
					   (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec +
						   arguments->plan.ramp_ns,
					   arguments->plan.limit_ns);
	}
	return status;
}

static int run_workers(struct worker *workers, const struct arguments *arguments)
{
	unsigned int nr_started = 0;
	int status = init_windows(workers, arguments);

	while (nr_started < arguments->nr_jobs && !status) {
		struct worker *worker = &workers[nr_started];

		worker->plan = arguments->plan;
		worker->plan.windows = &worker->windows;
		worker->plan.paths = &arguments->paths[arguments->spread ? 0 : nr_started % arguments->nr_paths];
		worker->plan.nr_paths = arguments->spread ? arguments->nr_paths : 1;
		worker->number = nr_started;
		status = -pthread_create(&worker->thread, NULL, worker_main, worker);
		nr_started += !status;
	}
	for (unsigned int i = 0; i < nr_started; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].status)
			status = workers[i].status;
	}
	return status;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_result(const struct worker *workers, unsigned int nr, const struct load_plan *plan, double cpu)
{
	struct load_result total = {0};
	double ops_per_second = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const struct load_result *result = &workers[i].result;

		total.ops += result->ops;
		total.ops_all += result->ops_all;
		total.ns = result->ns > total.ns ? result->ns : total.ns;
		histogram_merge(&total.latency, &result->latency);
		if (result->ns)
			ops_per_second += (double)result->ops * 1e9 / (double)result->ns;
	}
	printf("{\"ops\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"ops_per_second\": %.3f, "
	       "\"bytes_per_second\": %.1f, \"ops_all\": %" PRIu64 ", \"cpu_seconds\": %.6f, "
	       "\"latency_p50_ns\": %" PRIu64 ", \"latency_p99_ns\": %" PRIu64 ", \"latency_max_ns\": %" PRIu64,
	       total.ops, total.ops * plan->block_bytes, (double)total.ns / 1e9, ops_per_second,
	       ops_per_second * (double)plan->block_bytes, total.ops_all, cpu, histogram_percentile(&total.latency, 50),
	       histogram_percentile(&total.latency, 99), total.latency.max);
}

static void print_windows(struct worker *workers, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++)
		load_windows_merge(&workers[0].windows, &workers[i].windows);
	fputs(", \"windows\": ", stdout);
	load_windows_print(&workers[0].windows);
}

static void deinit_windows(struct worker *workers, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		load_windows_deinit(&workers[i].windows);
}

int main(int argc, char **argv)
{
	static struct worker workers[JOBS_MAX];
	struct arguments arguments;
	double cpu;
	int status;

	if (!parse_arguments(&arguments, argc, argv)) {
		fputs(usage_text, stderr);
		return 2;
	}
	status = map_corpus(&arguments.plan, arguments.corpus_path);
	if (status) {
		fprintf(stderr, "load: %s: %s\n", arguments.corpus_path, strerror(-status));
		return 1;
	}
	cpu = cpu_seconds();
	status = run_workers(workers, &arguments);
	if (status) {
		fprintf(stderr, "load: %s\n", strerror(-status));
		return 1;
	}
	print_result(workers, arguments.nr_jobs, &arguments.plan, cpu_seconds() - cpu);
	if (arguments.windows.length_ns)
		print_windows(workers, arguments.nr_jobs);
	puts("}");
	deinit_windows(workers, arguments.nr_jobs);
	return 0;
}
