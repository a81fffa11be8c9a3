#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The size classes of a pool, one row each, for people and for those who tune them.
 *
 *   zspages         == sum of groups
 *   objects_total   == zspages * objects_per_zspage
 *   freeable_pages  == (zspages - objects / objects_per_zspage, rounded up) * pages_per_zspage
 *
 * In a sum over pools the last line holds for each pool, and not for the sum.
 *
 * Context: any thread. One class's lock is taken at a time, for some ten instructions: a row agrees with itself, and
 * with other rows while nobody allocates or frees.
 */

#include <stdint.h>

#include "zsmalloc/geometry.h"
#include "zsmalloc/zspage.h"

struct zs_pool;

struct zs_class_stats {
	uint32_t index; /* of the class, as in a location */
	uint32_t size;	/* of an object with its header, bytes */
	uint32_t pages_per_zspage;
	uint32_t objects_per_zspage;
	uint64_t zspages;
	uint64_t objects;		 /* in use */
	uint64_t objects_total;		 /* in use or free in existing zspages */
	uint64_t groups[ZS_FULLNESS_NR]; /* zspages by fullness, see enum zs_fullness */
	uint64_t freeable_pages;	 /* what compaction would free at best */
	uint64_t lent_objects;		 /* allocations of smaller classes that it served, so far */
	uint64_t lock_waits;		 /* so far; class 0 has all of them if the pool has one lock */
	uint64_t lock_wait_ns;
};

/* The classes without any zspage; returns how many there are. classes has room for ZS_CLASSES_MAX. */
unsigned int zs_classes_init(struct zs_class_stats *classes);
/* Adds what a pool has, class by class. */
void zs_pool_add_classes(struct zs_pool *pool, struct zs_class_stats *classes);
