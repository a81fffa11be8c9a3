#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocator's insides as the types of io.zsd.control: Class and Cache (see interface.c for the fields).
 *
 * Context: the control thread only. Every function answers a new array, or NULL when memory is short.
 */

#include <jansson.h>
#include <stdbool.h>

struct zsd_service;

/* The size classes, summed over all pools: all of them, or those that have zspages. */
json_t *zsd_report_classes(struct zsd_service *service, bool all);
/* The slab caches that all pools share. */
json_t *zsd_report_caches(struct zsd_service *service);
