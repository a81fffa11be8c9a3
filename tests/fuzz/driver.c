/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replays a corpus through a fuzz target, with any compiler: every file of the given directories, and each file once
 * more for some of its prefixes and with single bits flipped, so that a small corpus goes a long way. Deterministic.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define FILE_MAX ((size_t)1 << 20)
/* Changed copies of a file; a long file is sampled. */
#define VARIANTS_MAX 512

static unsigned long nr_inputs;

/* A copy of just that length, so that the address sanitizer sees a byte too many. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + !size);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	nr_inputs++;
}

static void run_variants(uint8_t *data, size_t size)
{
	size_t step = size / VARIANTS_MAX + 1;

	run(data, size);
	for (size_t i = 0; i < size; i += step) {
		uint8_t bit = (uint8_t)(1u << (i / step % 8));

		run(data, i);
		data[i] ^= bit;
		run(data, size);
		data[i] ^= bit;
	}
}

static bool run_file(const char *directory, const char *name, uint8_t *buffer)
{
	char path[4096];
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "r");
	if (!file) {
		perror(path);
		return false;
	}
	size = fread(buffer, 1, FILE_MAX, file);
	fclose(file);
	run_variants(buffer, size);
	return true;
}

static unsigned int run_directory(const char *path, uint8_t *buffer)
{
	DIR *directory = opendir(path);
	unsigned int nr_files = 0;
	struct dirent *entry;

	if (!directory) {
		perror(path);
		return 0;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] != '.')
			nr_files += run_file(path, entry->d_name, buffer);
	}
	closedir(directory);
	return nr_files;
}

int main(int argc, char **argv)
{
	uint8_t *buffer = malloc(FILE_MAX);
	unsigned int nr_files = 0;

	if (argc < 2 || !buffer) {
		fprintf(stderr, "usage: %s CORPUS...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++)
		nr_files += run_directory(argv[i], buffer);
	printf("%u files, %lu inputs\n", nr_files, nr_inputs);
	free(buffer);
	/* An empty corpus tests nothing. */
	return nr_files ? 0 : 1;
}
