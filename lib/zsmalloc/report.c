/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size classes in numbers, and their sums. */

#include "zsmalloc/report.h"

#include "zsmalloc/pool_internal.h"

static void class_init(unsigned int index, struct zs_class_stats *ret_stats)
{
	const struct zs_class_shape *shape = &zs_geometry()->classes[index];

	*ret_stats = (struct zs_class_stats){
		.index = index,
		.size = shape->size,
		.pages_per_zspage = shape->pages,
		.objects_per_zspage = shape->objects,
	};
}

unsigned int zs_classes_init(struct zs_class_stats *classes)
{
	unsigned int nr = zs_geometry()->nr_classes;

	for (unsigned int i = 0; i < nr; i++)
		class_init(i, &classes[i]);
	return nr;
}

/* Adds to stats, which class_init() has begun, what the class of this pool has. */
static void class_add(struct zs_pool *pool, struct zs_class_stats *stats)
{
	struct zs_size_class *class = &pool->classes[stats->index];
	struct zs_lock_waits waits = {0};
	uint64_t needed;
	uint32_t kept;
	ZS_LOCK_SCOPE(pool_lock(pool, stats->index));

	kept = pool_count_kept(pool, stats->index, NULL);
	needed = zs_div_round_up(class->nr_objects - kept, stats->objects_per_zspage);
	stats->zspages += class->nr_zspages;
	stats->objects += class->nr_objects - kept;
	stats->objects_total += (uint64_t) class->nr_zspages * stats->objects_per_zspage;
	stats->freeable_pages += (class->nr_zspages - needed) * stats->pages_per_zspage;
	stats->lent_objects += class->nr_lent;
	for (unsigned int group = 0; group < ZS_FULLNESS_NR; group++)
		stats->groups[group] += class->group_zspages[group];
	zs_lock_add_waits(&class->lock, &waits);
	stats->lock_waits += waits.nr;
	stats->lock_wait_ns += waits.ns;
}

void zs_pool_add_classes(struct zs_pool *pool, struct zs_class_stats *classes)
{
	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++)
		class_add(pool, &classes[i]);
}

void zs_pool_stats(struct zs_pool *pool, struct zs_pool_stats *ret_stats)
{
	struct zs_pool_stats stats = {
		.compacted_pages = atomic_load_explicit(&pool->nr_compacted_pages, memory_order_relaxed),
		.moved_objects = atomic_load_explicit(&pool->nr_moved, memory_order_relaxed),
	};

	for (unsigned int i = 0; i < pool->heap->geometry->nr_classes; i++) {
		struct zs_class_stats class;

		class_init(i, &class);
		class_add(pool, &class);
		stats.objects += class.objects;
		stats.objects_total += class.objects_total;
		stats.pages += class.zspages * class.pages_per_zspage;
		stats.freeable_pages += class.freeable_pages;
		stats.lent_objects += class.lent_objects;
		stats.lock_waits += class.lock_waits;
		stats.lock_wait_ns += class.lock_wait_ns;
	}
	*ret_stats = stats;
}
