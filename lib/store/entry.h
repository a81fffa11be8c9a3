#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device table: 256-byte entries in the arena, so that devices outlive the process.
 *
 * Each change of an entry is committed by one 8-byte store. An entry is taken by writing all of it and then its id, and
 * given back by storing 0 there. What can change in a device's life is kept twice: the copy that is not current is
 * written, then `current` is stored, which says which one it is.
 */

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* The kernel may cache the file's content. */
#define ZS_ATTRIBUTE_PAGE_CACHE (UINT32_C(1) << 0)
/* Its content does not change. */
#define ZS_ATTRIBUTE_READ_ONLY (UINT32_C(1) << 1)

struct zs_device_attributes {
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t flags; /* ZS_ATTRIBUTE_... */
	uint64_t memory_limit_bytes;
	uint32_t codecs[ZS_CODECS]; /* packed: that of writes, then those of recompression until a 0 */
	uint64_t checksum;	    /* XXH3-64 of all above */
};

struct zs_device_entry {
	_Atomic uint64_t id;	  /* sealed (base/residue.h); 0 = the entry is free */
	_Atomic uint64_t current; /* sealed; bit 0: which of attributes is valid */
	struct zs_device_attributes attributes[2];
	/* From here on constant while id is not 0. */
	uint64_t size_bytes;
	uint64_t table_offset; /* in ZS_REGION_SLOTS */
	int64_t created_sec;
	uint32_t block_size;
	char name[ZS_DEVICE_NAME_BYTES];
	uint16_t group;	      /* index in the group table + 1; 0 = none */
	uint8_t reserved[40]; /* 0 */
	uint64_t checksum;    /* XXH3-64 of id and of all from size_bytes on */
};

static_assert(sizeof(struct zs_device_entry) == 256, "the entry's size is part of the arena's layout");
static_assert(_Alignof(struct zs_device_entry) == 8, "entries are read in place");

/* A device's id: generation above, index in the table below. */
#define ZS_DEVICE_INDEX_BITS 12
static_assert(ZS_DEVICES_MAX == 1 << ZS_DEVICE_INDEX_BITS, "the index fits");

static inline unsigned int zs_device_index(uint64_t id)
{
	return (unsigned int)(id & (ZS_DEVICES_MAX - 1));
}

bool zs_text_is_utf8(const char *text);
/* True if a device may have this name: 1 to 64 bytes of UTF-8 without '/', '.' and control characters. */
bool zs_name_is_valid(const char *name);

/* Writes all but the id of a free entry, and then commits it with the id. group as in the entry. */
void zs_entry_commit(struct zs_device_entry *entry, uint64_t id, const struct zs_device_options *options,
		     uint16_t group, uint64_t table_offset, int64_t created_sec);

/* The codecs of the options as attributes have them. */
void zs_options_codecs(const struct zs_device_options *options, uint32_t words[static ZS_CODECS]);
/* True for at most ZS_RECOMPRESS_CODECS valid ones. */
bool zs_codecs_are_valid(const struct zs_codec_params *codecs, unsigned int nr);

/* Judges an entry at this index of the table. Returns 0, -ENOENT (free) or -EBADMSG (damaged). */
int zs_entry_check(const struct zs_device_entry *entry, unsigned int index, uint64_t slots_bytes);

/* The valid copy; commit replaces it. Context: the store's lock. */
const struct zs_device_attributes *zs_entry_attributes(const struct zs_device_entry *entry);
void zs_entry_set_attributes(struct zs_device_entry *entry, const struct zs_device_attributes *attributes);
