/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allocator's insides as the types of io.zsd.control. */

#include "command_insides.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "command_report.h"
#include "service.h"
#include "zsmalloc/report.h"

static void decrefp(json_t **value)
{
	json_decref(*value);
}

/* Adds the report to the array and takes it over, also when it is NULL for lack of memory. Answers false then. */
static bool append(json_t *array, json_t *report)
{
	return json_array_append_new(array, report) == 0;
}

static json_t *report_class(const struct zs_class_stats *class)
{
	const struct zsd_field fields[] = {
		{"class", class->index},
		{"object_bytes", class->size},
		{"pages_per_zspage", class->pages_per_zspage},
		{"objects_per_zspage", class->objects_per_zspage},
		{"zspages", class->zspages},
		{"zspage_bytes", class->zspages * class->pages_per_zspage * ZS_PAGE_SIZE},
		{"objects_active", class->objects},
		{"objects_total", class->objects_total},
		{"freeable_bytes", class->freeable_pages * ZS_PAGE_SIZE},
		{"full_0", class->groups[ZS_FULLNESS_EMPTY]},
		{"full_10", class->groups[1]},
		{"full_20", class->groups[2]},
		{"full_30", class->groups[3]},
		{"full_40", class->groups[4]},
		{"full_50", class->groups[5]},
		{"full_60", class->groups[6]},
		{"full_70", class->groups[7]},
		{"full_80", class->groups[8]},
		{"full_90", class->groups[9]},
		{"full_99", class->groups[ZS_FULLNESS_ALMOST]},
		{"full_100", class->groups[ZS_FULLNESS_FULL]},
		{"lent_objects", class->lent_objects},
		{"lock_waits", class->lock_waits},
		{"lock_wait_ns", class->lock_wait_ns},
	};
	ZS_CLEANUP(decrefp) json_t *report = json_object();

	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ? zs_take(report) : NULL;
}

json_t *zsd_report_classes(struct zsd_service *service, bool all)
{
	struct zs_class_stats classes[ZS_CLASSES_MAX];
	unsigned int nr = zs_store_classes(zsd_service_store(service), classes);
	ZS_CLEANUP(decrefp) json_t *reports = json_array();

	for (unsigned int i = 0; i < nr; i++) {
		if ((all || classes[i].zspages) && !append(reports, report_class(&classes[i])))
			return NULL;
	}
	return zs_take(reports);
}

static json_t *report_cache(const struct zs_cache_stats *cache)
{
	const struct zsd_field fields[] = {
		{"object_bytes", cache->object_bytes},	       {"objects_active", cache->objects},
		{"objects_total", cache->objects_total},       {"pages", cache->pages},
		{"magazine_objects", cache->magazine_objects}, {"lock_waits", cache->lock_waits},
		{"lock_wait_ns", cache->lock_wait_ns},
	};
	ZS_CLEANUP(decrefp) json_t *report = json_pack("{s:s}", "name", cache->name);

	return zsd_set_numbers(report, fields, ZS_ARRAY_SIZE(fields)) ? zs_take(report) : NULL;
}

json_t *zsd_report_caches(struct zsd_service *service)
{
	struct zs_store_stats stats;
	ZS_CLEANUP(decrefp) json_t *reports = json_array();

	zs_store_stats(zsd_service_store(service), &stats);
	if (!append(reports, report_cache(&stats.heap.handles)) || !append(reports, report_cache(&stats.heap.zspages)))
		return NULL;
	return zs_take(reports);
}
