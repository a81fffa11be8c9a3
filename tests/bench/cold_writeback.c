/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a device back, all of it, and reading its blocks at random: how many blocks a second, and how many bytes went
 * to the file. bench_cold.py has fio do the same.
 */

#include <inttypes.h>
#include <stdio.h>

#include "base/bits.h"
#include "cold_store.h"
#include "store/cold.h"

#define READS ((uint64_t)100000)

void bench_writeback(const struct bench_options *options)
{
	static struct bench_store store;
	struct zs_writeback_progress progress;
	struct zs_backing_stats stats;
	uint64_t start, cpu, nsec;

	bench_cold_create(&store, options);
	cpu = bench_thread_cpu_ns();
	start = bench_now_ns();
	bench_cold_write(&store, 0, 0, &progress);
	nsec = bench_now_ns() - start;
	cpu = bench_thread_cpu_ns() - cpu;
	zs_backing_stats(zs_store_backing(store.store), &stats);
	printf("{\"blocks\": %" PRIu64 ", \"nsec\": %" PRIu64 ", \"cpu_nsec\": %" PRIu64 ", \"payload_bytes\": %" PRIu64
	       ", \"written_bytes\": %" PRIu64 ", \"writes\": %" PRIu64 "}\n",
	       stats.appended_records, nsec, cpu, stats.payload_bytes, stats.written_bytes, stats.writes);
	bench_cold_read(&store, options, zs_min(READS, stats.appended_records));
	zs_store_close(store.store);
}
