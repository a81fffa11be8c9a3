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

double zsd_figures_ratio(const struct zsd_figures *figures)
{
	uint64_t held = figures->data_bytes - figures->written_back_bytes;

	return figures->stats.memory_bytes ? (double)held / (double)figures->stats.memory_bytes : 0;
}
