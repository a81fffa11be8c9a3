/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size classes. */

#include <criterion/criterion.h>

#include "base/bits.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/handle.h"
#include "zsmalloc/pool.h"

Test(geometry, classes_ascend_and_objects_fit_their_zspage)
{
	const struct zs_geometry *geometry = zs_geometry();

	cr_assert_gt(geometry->nr_classes, 0);
	cr_assert_leq(geometry->nr_classes, ZS_CLASSES_MAX);
	for (unsigned int i = 0; i < geometry->nr_classes; i++) {
		const struct zs_class_shape *shape = &geometry->classes[i];

		cr_assert(!i || shape->size > shape[-1].size);
		cr_assert_eq(shape->size % 4, 0);
		cr_assert(shape->pages && shape->pages <= ZS_RUN_MAX_PAGES);
		cr_assert_eq(shape->objects, shape->pages * ZS_PAGE_SIZE / shape->size);
		cr_assert_leq(shape->objects, 1 << ZS_LOCATION_INDEX_BITS);
		cr_assert_eq(shape->cost, zs_div_round_up(shape->pages * ZS_PAGE_SIZE, shape->objects));
		cr_assert_geq(shape->cost, shape->size);
	}
}

Test(geometry, every_size_has_the_smallest_class_that_holds_it)
{
	const struct zs_geometry *geometry = zs_geometry();

	for (size_t size = 1; size <= ZS_CLASS_MAX_BYTES; size++) {
		unsigned int class = zs_geometry_class(geometry, size);

		cr_assert_lt(class, geometry->nr_classes);
		cr_assert_geq(geometry->classes[class].size, size, "%zu bytes in class %u", size, class);
		cr_assert(!class || geometry->classes[class - 1].size < size, "%zu bytes in class %u", size, class);
	}
}

Test(geometry, little_is_lost_to_rounding)
{
	double sum = 0;
	unsigned int nr = 0;

	for (size_t size = 256; size <= 4096; size++, nr++) {
		double loss = (double)zs_pool_cost(size) / (double)(size + ZS_OBJECT_HEADER_BYTES);

		cr_assert_lt(loss, 1.07, "%zu bytes cost %zu", size, zs_pool_cost(size));
		sum += loss;
	}
	cr_assert_lt(sum / nr, 1.02);
}

Test(geometry, raw_blocks_cost_little_more_than_themselves)
{
	for (size_t size = 4096; size <= 65536; size *= 2)
		cr_assert_leq(zs_pool_cost(size), size + size / 60);
}

Test(geometry, cost_never_falls_with_size)
{
	for (size_t size = 2; size <= ZS_OBJECT_MAX_BYTES; size++)
		cr_assert_geq(zs_pool_cost(size), zs_pool_cost(size - 1), "%zu bytes", size);
}

Test(geometry, what_saves_no_class_is_huge)
{
	for (size_t block = 4096; block <= 65536; block *= 2) {
		size_t limit = block;

		cr_assert(zs_pool_is_huge(block, block));
		cr_assert(zs_pool_is_huge(block - 1, block));
		cr_assert_not(zs_pool_is_huge(1, block));
		while (zs_pool_is_huge(limit, block))
			limit--;
		/* Once it pays it pays for all that is smaller. */
		for (size_t size = limit; size; size--)
			cr_assert_not(zs_pool_is_huge(size, block));
		cr_assert_lt(zs_pool_cost(limit), zs_pool_cost(block));
		cr_assert_gt(limit, block * 9 / 10);
	}
}

Test(geometry, its_name_is_stable)
{
	cr_assert_eq(zs_geometry_hash(), zs_geometry_hash());
	cr_assert_neq(zs_geometry_hash(), 0);
	cr_assert_eq(zs_geometry(), zs_geometry());
}
