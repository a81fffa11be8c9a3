/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures of a device. Counters are read one after the other while others write: what is a difference of two of them
 * may be less than nothing for a moment, and counts as nothing then. The sum is made last, of what is told.
 */

#include "figures.h"

#include "base/bits.h"
#include "store/device.h"

static uint64_t difference(uint64_t all, uint64_t part)
{
	return all > part ? all - part : 0;
}

void zsd_figures_get(struct zs_device *device, struct zsd_figures *ret_figures)
{
	struct zsd_figures figures = {0};
	uint64_t block_size;

	zs_device_info(device, &figures.info);
	zs_device_stats(device, &figures.stats);
	block_size = figures.info.block_size;
	figures.same_bytes = figures.stats.same_blocks * block_size;
	figures.incompressible_bytes = figures.stats.huge_blocks * block_size;
	figures.compressed_bytes = difference(figures.stats.object_blocks, figures.stats.huge_blocks) * block_size;
	figures.zstd_bytes = zs_min(figures.stats.zstd_blocks * block_size, figures.compressed_bytes);
	figures.written_back_bytes = figures.stats.backed_blocks * block_size;
	figures.packed_bytes = difference(figures.stats.compressed_bytes, figures.incompressible_bytes);
	figures.zstd_packed_bytes = zs_min(figures.stats.zstd_bytes, figures.packed_bytes);
	figures.data_bytes = figures.same_bytes + figures.compressed_bytes + figures.incompressible_bytes +
			     figures.written_back_bytes;
	*ret_figures = figures;
}

void zsd_figures_sum(struct zs_store *store, struct zsd_sums *ret_sums)
{
	struct zsd_figures figures;
	unsigned int cursor = 0;
	uint64_t id;

	*ret_sums = (struct zsd_sums){0};
	while (zs_store_next(store, &cursor, &id)) {
		struct zs_device *device = zs_device_get(store, id, NULL);

		if (!device)
			continue;
		zsd_figures_get(device, &figures);
		zs_device_put(device, NULL);
		ret_sums->data_bytes += figures.data_bytes;
		ret_sums->written_back_bytes += figures.written_back_bytes;
		ret_sums->stored_bytes += figures.stats.compressed_bytes;
	}
}

double zsd_sums_ratio(const struct zsd_sums *sums, uint64_t used_bytes)
{
	uint64_t held = sums->data_bytes - sums->written_back_bytes;

	return used_bytes ? (double)held / (double)used_bytes : 0;
}

double zsd_figures_ratio(const struct zsd_figures *figures)
{
	uint64_t held = figures->data_bytes - figures->written_back_bytes;

	return figures->stats.memory_bytes ? (double)held / (double)figures->stats.memory_bytes : 0;
}
