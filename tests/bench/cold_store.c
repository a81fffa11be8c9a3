/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store full of the corpus that has a backing file. */

#include "cold_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "store/cold.h"

#define FILL_THREADS 2

void bench_cold_create(struct bench_store *store, const struct bench_options *options)
{
	struct zs_backing_options backing = {.path = options->backing_path};
	int fd;

	if (!options->backing_path)
		bench_die(0, "--backing is missing");
	fd = open(options->backing_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		bench_die(errno, "%s", options->backing_path);
	close(fd);
	bench_store_create(store, options, options->size_bytes, false);
	/* As the daemon has it. */
	bench_check(zs_store_start_maintenance(store->store), "zs_store_start_maintenance");
	bench_check(zs_store_attach_backing(store->store, &backing, NULL), "zs_store_attach_backing");
	bench_store_fill(store, FILL_THREADS);
}

void bench_cold_write(struct bench_store *store, unsigned int first, uint64_t limit_bytes,
		      struct zs_writeback_progress *ret_progress)
{
	const struct zs_writeback_request request = {
		.devices = &store->ids[first],
		.nr_devices = store->nr_devices - first,
		.limit_bytes = limit_bytes,
	};

	*ret_progress = (struct zs_writeback_progress){0};
	bench_check(zs_store_writeback(store->store, &request, ret_progress), "zs_store_writeback");
	if (atomic_load(&ret_progress->finished_blocks) != atomic_load(&ret_progress->written_blocks))
		bench_die(0, "blocks were left in memory");
}
