/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trace of compressed sizes, memory that no allocator sees, and what pools are made of. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena_bench.h"
#include "base/cleanup.h"
#include "codec/stream.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/pool.h"

void *bench_memory(size_t size_bytes)
{
	void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			    0);

	if (memory == MAP_FAILED)
		bench_die(errno, "%zu bytes", size_bytes);
	return memory;
}

const void *bench_map(const char *path, size_t *ret_bytes)
{
	ZS_CLEANUP_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat status;
	void *memory;

	if (!path)
		bench_die(0, "--corpus or --trace is missing");
	if (fd < 0 || fstat(fd, &status) < 0)
		bench_die(errno, "%s", path);
	memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (memory == MAP_FAILED)
		bench_die(errno, "%s", path);
	*ret_bytes = (size_t)status.st_size;
	return memory;
}

struct zs_heap *bench_heap(void)
{
	struct zs_arena_options options;
	struct zs_arena *arena = calloc(1, sizeof(*arena));
	struct zs_heap *heap;

	if (!arena)
		bench_die(ENOMEM, "bench_heap");
	zs_arena_options_default(&options, 0);
	bench_check(zs_arena_create(arena, &options), "zs_arena_create");
	bench_check(zs_heap_create(arena, true, &heap), "zs_heap_create");
	return heap;
}

static uint64_t smaps_bytes(const char *name)
{
	char text[256];
	unsigned long kib;
	FILE *file = fopen("/proc/self/smaps_rollup", "re");

	if (!file)
		bench_die(errno, "/proc/self/smaps_rollup");
	while (fgets(text, sizeof(text), file)) {
		if (!strncmp(text, name, strlen(name)) && sscanf(text + strlen(name), ": %lu kB", &kib) == 1) {
			fclose(file);
			return (uint64_t)kib * 1024;
		}
	}
	bench_die(0, "/proc/self/smaps_rollup has no %s", name);
}

uint64_t bench_resident_bytes(void)
{
	return smaps_bytes("Rss");
}

uint64_t bench_anonymous_bytes(void)
{
	return smaps_bytes("Anonymous");
}

void bench_trace_load(const struct bench_options *options, struct bench_trace *ret_trace)
{
	size_t bytes;
	const uint16_t *sizes = bench_map(options->trace_path, &bytes);
	uint32_t nr = (uint32_t)(bytes / sizeof(*sizes));

	if (options->nr_blocks && options->nr_blocks < nr)
		nr = (uint32_t)options->nr_blocks;
	if (nr < BENCH_THREADS_MAX)
		bench_die(0, "%s: too short", options->trace_path);
	*ret_trace = (struct bench_trace){.sizes = sizes, .nr = nr};
}

/* What the store makes of a block: the payload's size, or 0 if there is no object. */
static uint16_t payload_size(struct zs_stream *stream, const char *block)
{
	const struct zs_codec_params params = {.codec = ZS_CODEC_LZ4, .level = zs_codec_lz4.level_default};
	const void *payload;
	size_t length;
	int error;

	if (!memcmp(block, block + sizeof(uint64_t), BENCH_BLOCK_BYTES - sizeof(uint64_t)))
		return 0;
	error = zs_stream_compress(stream, &params, block, BENCH_BLOCK_BYTES, &payload, &length);
	if (error == -ENOSPC || (!error && zs_pool_is_huge(length, BENCH_BLOCK_BYTES)))
		return BENCH_BLOCK_BYTES;
	bench_check(error, "zs_stream_compress");
	return (uint16_t)length;
}

void bench_trace(const struct bench_options *options)
{
	struct zs_stream *stream;
	uint64_t nr = 0, sum = 0;
	size_t bytes;
	const char *corpus = bench_map(options->corpus_path, &bytes);
	FILE *file = options->trace_path ? fopen(options->trace_path, "we") : NULL;

	if (!file)
		bench_die(errno, "%s", options->trace_path ? options->trace_path : "--trace");
	bench_check(zs_stream_create(0, &stream), "zs_stream_create");
	for (size_t i = 0; i + BENCH_BLOCK_BYTES <= bytes; i += BENCH_BLOCK_BYTES) {
		uint16_t size = payload_size(stream, corpus + i);

		if (size && fwrite(&size, sizeof(size), 1, file) != 1)
			bench_die(errno, "%s", options->trace_path);
		nr += size != 0;
		sum += size;
	}
	if (fclose(file))
		bench_die(errno, "%s", options->trace_path);
	zs_stream_destroy(stream);
	printf("{\"objects\": %llu, \"payload\": %llu}\n", (unsigned long long)nr, (unsigned long long)sum);
}
