/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size classes. */

#include "zsmalloc/geometry.h"

#include <pthread.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bits.h"
#include "base/check.h"
#include "zsmalloc/handle.h"

/* Up to a page, classes are 1/64 apart; above, objects are few and zspages long, so that half as many pay better. */
#define SPACING_SMALL	64
#define SPACING_LARGE	32
#define STEP_MIN	16
#define PAGES_MAX_SMALL 16
#define PAGES_MAX_LARGE 64
/* What one more page in a zspage costs, as a part of the object's size: the partly filled zspage at the end. */
#define PAGE_PENALTY (1.0 / 1024)

static struct zs_geometry geometry_table;
static pthread_once_t geometry_once = PTHREAD_ONCE_INIT;

/* The best zspage for objects of at least size bytes. */
static struct zs_class_shape shape_for(uint32_t size)
{
	unsigned int pages_max = size <= ZS_PAGE_SIZE ? PAGES_MAX_SMALL : PAGES_MAX_LARGE;
	unsigned int best_pages = 0;
	double best = 0;

	for (unsigned int pages = 1; pages <= pages_max; pages++) {
		uint32_t bytes = pages * (uint32_t)ZS_PAGE_SIZE, objects = bytes / size;
		double loss;

		if (!objects)
			continue;
		loss = (double)(bytes - objects * size) / objects / size + pages * PAGE_PENALTY;
		if (!best_pages || loss < best) {
			best = loss;
			best_pages = pages;
		}
	}
	uint32_t objects = best_pages * (uint32_t)ZS_PAGE_SIZE / size;
	return (struct zs_class_shape){
		.pages = (uint16_t)best_pages,
		.objects = (uint16_t)objects,
		.size = (uint32_t)zs_align_down(best_pages * ZS_PAGE_SIZE / objects, 4),
	};
}

static struct zs_class_shape shape_for_raw(uint32_t block_size)
{
	uint32_t size = block_size + ZS_OBJECT_HEADER_BYTES;

	return (struct zs_class_shape){
		.pages = ZS_RUN_MAX_PAGES,
		.objects = (uint16_t)(ZS_RUN_MAX_PAGES * ZS_PAGE_SIZE / size),
		.size = size,
	};
}

/* Adds a class below those added before, unless it is the same as the last one. */
static void add_class(struct zs_class_shape shape)
{
	struct zs_class_shape *above = geometry_table.nr_classes
					       ? geometry_table.classes + geometry_table.nr_classes - 1
					       : NULL;

	if (above && shape.size >= above->size)
		return;
	zs_assert(geometry_table.nr_classes < ZS_CLASSES_MAX);
	shape.cost = (uint32_t)zs_div_round_up(shape.pages * ZS_PAGE_SIZE, shape.objects);
	geometry_table.classes[geometry_table.nr_classes++] = shape;
}

/* Adds the classes for sizes from high down to above low. */
static void add_classes(uint32_t high, uint32_t low, unsigned int spacing)
{
	for (uint32_t size = high; size > low;
	     size = (uint32_t)zs_align_down(size - zs_max(size / spacing, STEP_MIN), 4))
		add_class(shape_for(size));
}

static void reverse_classes(void)
{
	struct zs_class_shape *classes = geometry_table.classes;

	for (unsigned int i = 0, j = geometry_table.nr_classes - 1; i < j; i++, j--) {
		struct zs_class_shape shape = classes[i];

		classes[i] = classes[j];
		classes[j] = shape;
	}
}

static void geometry_init(void)
{
	unsigned int class = 0;

	for (uint32_t block = 65536; block > ZS_PAGE_SIZE; block /= 2) {
		add_class(shape_for_raw(block));
		add_classes(block, block / 2 + ZS_OBJECT_HEADER_BYTES, SPACING_LARGE);
	}
	add_class(shape_for_raw((uint32_t)ZS_PAGE_SIZE));
	add_classes((uint32_t)ZS_PAGE_SIZE, ZS_CLASS_MIN_BYTES, SPACING_SMALL);
	add_class(shape_for(ZS_CLASS_MIN_BYTES));
	reverse_classes();
	for (uint32_t i = 0; i < ZS_ARRAY_SIZE(geometry_table.index); i++) {
		while (class + 1 < geometry_table.nr_classes && geometry_table.classes[class].size < i * 4)
			class ++;
		geometry_table.index[i] = (uint8_t) class;
	}
	for (unsigned int i = 0; i < geometry_table.nr_classes; i++)
		zs_assert(geometry_table.classes[i].objects <= 1u << ZS_LOCATION_INDEX_BITS);
}

const struct zs_geometry *zs_geometry(void)
{
	pthread_once(&geometry_once, geometry_init);
	return &geometry_table;
}

uint64_t zs_geometry_hash(void)
{
	const struct zs_geometry *geometry = zs_geometry();

	return XXH3_64bits(geometry->classes, geometry->nr_classes * sizeof(geometry->classes[0]));
}
