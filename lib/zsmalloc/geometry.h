#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The size classes: which object sizes there are, and how many pages a zspage of each has. Constant for the program;
 * any thread.
 *
 * The cost model. Memory is lost in three ways, and each has one remedy that makes another worse:
 *   rounding up to the class   -> more classes
 *   the tail of each zspage    -> longer zspages, so that a whole number of objects fits better
 *   the last, partly filled zspage of each class -> fewer classes, shorter zspages
 * So class sizes are spaced by a ratio (1/64; a constant step wastes on small objects and splits hairs on large ones),
 * for each size the length is chosen that minimises tail + pages/1024, and the size is then stretched to fill the
 * zspage exactly. On 1 GiB of files compressed with lz4 this gives 1.0194 pages per payload, header included; the
 * kernel's geometry (constant step 16, at most 8 pages, least tail) gives 1.0231, and 1.0177 with at most 16 pages.
 * 1/80 and 24 pages would give 1.0181 here, but 1.077 instead of 1.069 on 16,000 objects, and the two meet at 65,000:
 * `./dev bench arena --subject geometry` prints the curve.
 *
 * Raw blocks have classes of their own: block + header is just over a whole number of pages, and 65 pages hold 64 raw
 * blocks of 4 KiB (32 of 8 KiB, ... 4 of 64 KiB) with a loss of 1.5 %.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Object header and largest payload: the largest object. */
#define ZS_OBJECT_HEADER_BYTES 12
#define ZS_CLASS_MIN_BYTES     32
#define ZS_CLASS_MAX_BYTES     (ZS_OBJECT_HEADER_BYTES + 65536)
/* The class index in a location has 8 bits. */
#define ZS_CLASSES_MAX 256
/* The longest zspage, pages. */
#define ZS_RUN_MAX_PAGES 65

struct zs_class_shape {
	uint32_t size;	  /* of an object with its header, bytes; a multiple of 4 */
	uint16_t pages;	  /* of a zspage */
	uint16_t objects; /* of a zspage: pages * 4096 / size */
	uint32_t cost;	  /* an object's share of the pages, bytes, rounded up */
};

struct zs_geometry {
	unsigned int nr_classes;
	struct zs_class_shape classes[ZS_CLASSES_MAX]; /* ascending size */
	uint8_t index[ZS_CLASS_MAX_BYTES / 4 + 2];     /* (size + 3) / 4 -> class */
};

const struct zs_geometry *zs_geometry(void);

/* The class for an object of size bytes with its header (at most ZS_CLASS_MAX_BYTES). */
static inline unsigned int zs_geometry_class(const struct zs_geometry *geometry, size_t size)
{
	return geometry->index[(size + 3) / 4];
}

/* How far a class may be above one that it lends objects to: in classes, and its size in percent of the other's. */
#define ZS_LEND_CLASSES 8
#define ZS_LEND_PERCENT 120

/* True if a class may lend its objects to another one, which is smaller (zsmalloc/room.c). Any lender. */
static inline bool zs_geometry_lends(const struct zs_geometry *geometry, unsigned int lender, unsigned int class)
{
	return lender < geometry->nr_classes && lender > class && lender - class <= ZS_LEND_CLASSES &&
	       geometry->classes[lender].size * 100 <= geometry->classes[class].size * ZS_LEND_PERCENT;
}

/* Names this geometry: arenas made with another one are refused. */
uint64_t zs_geometry_hash(void);
