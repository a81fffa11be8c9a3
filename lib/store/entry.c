/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of the device table. */

#include "store/entry.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/residue.h"
#include "store/table.h"

/* The length of the UTF-8 sequence at text, or 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80			    ? 1
			: text[0] >= 0xc2 && text[0] < 0xe0 ? 2
			: (text[0] & 0xf0) == 0xe0	    ? 3
			: text[0] >= 0xf0 && text[0] < 0xf5 ? 4
							    : 0;

	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

/* C0 and C1 controls and DEL. */
static bool is_control(const unsigned char *text)
{
	return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

bool zs_text_is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t step = 1;

	for (; *at && step; at += step)
		step = utf8_length(at);
	return step;
}

bool zs_name_is_valid(const char *name)
{
	const unsigned char *at = (const unsigned char *)name;
	size_t length = strnlen(name, ZS_DEVICE_NAME_BYTES);

	if (!length || length == ZS_DEVICE_NAME_BYTES)
		return false;
	while (*at) {
		size_t step = utf8_length(at);

		if (!step || *at == '/' || *at == '.' || is_control(at))
			return false;
		at += step;
	}
	return true;
}

static uint64_t attributes_checksum(const struct zs_device_attributes *attributes)
{
	return XXH3_64bits(attributes, offsetof(struct zs_device_attributes, checksum));
}

static uint64_t entry_checksum(const struct zs_device_entry *entry, uint64_t id)
{
	size_t start = offsetof(struct zs_device_entry, size_bytes);

	return XXH3_64bits_withSeed((const char *)entry + start, offsetof(struct zs_device_entry, checksum) - start,
				    id);
}

const struct zs_device_attributes *zs_entry_attributes(const struct zs_device_entry *entry)
{
	return &entry->attributes[zs_residue_value(atomic_load_explicit(&entry->current, memory_order_relaxed)) & 1];
}

void zs_entry_set_attributes(struct zs_device_entry *entry, const struct zs_device_attributes *attributes)
{
	uint64_t current = zs_residue_value(atomic_load_explicit(&entry->current, memory_order_relaxed));
	struct zs_device_attributes *copy = &entry->attributes[(current & 1) ^ 1];

	*copy = *attributes;
	copy->checksum = attributes_checksum(copy);
	/* release: the copy is whole before it is the valid one */
	atomic_store_explicit(&entry->current, zs_residue_seal((current + 1) & UINT32_MAX), memory_order_release);
}

void zs_options_codecs(const struct zs_device_options *options, uint32_t words[static ZS_CODECS])
{
	memset(words, 0, ZS_CODECS * sizeof(words[0]));
	words[0] = zs_codec_pack(&options->codec);
	for (unsigned int i = 0; i < options->nr_recompress; i++)
		words[1 + i] = zs_codec_pack(&options->recompress[i]);
}

bool zs_codecs_are_valid(const struct zs_codec_params *codecs, unsigned int nr)
{
	if (nr > ZS_RECOMPRESS_CODECS)
		return false;
	for (unsigned int i = 0; i < nr; i++) {
		if (!zs_codec_params_are_valid(&codecs[i]))
			return false;
	}
	return true;
}

/* The first one is there, and none comes after a gap. */
static bool words_are_valid(const uint32_t words[static ZS_CODECS])
{
	bool ended = false;

	for (unsigned int i = 0; i < ZS_CODECS; i++) {
		struct zs_codec_params params = zs_codec_unpack(words[i]);

		ended = ended || (i && !words[i]);
		if (ended ? words[i] != 0 : !zs_codec_params_are_valid(&params))
			return false;
	}
	return true;
}

void zs_entry_commit(struct zs_device_entry *entry, uint64_t id, const struct zs_device_options *options,
		     uint16_t group, uint64_t table_offset, int64_t created_sec)
{
	struct zs_device_attributes attributes = {
		.mode = options->mode,
		.uid = options->uid,
		.gid = options->gid,
		.flags = (options->page_cache ? ZS_ATTRIBUTE_PAGE_CACHE : 0) |
			 (options->read_only ? ZS_ATTRIBUTE_READ_ONLY : 0),
		.memory_limit_bytes = options->memory_limit_bytes,
	};

	zs_assert(!atomic_load(&entry->id) && zs_name_is_valid(options->name));
	memset(&entry->current, 0, sizeof(*entry) - offsetof(struct zs_device_entry, current));
	zs_options_codecs(options, attributes.codecs);
	zs_entry_set_attributes(entry, &attributes);
	entry->size_bytes = options->size_bytes;
	entry->table_offset = table_offset;
	entry->created_sec = created_sec;
	entry->block_size = options->block_size;
	entry->group = group;
	memcpy(entry->name, options->name, strlen(options->name));
	entry->checksum = entry_checksum(entry, id);
	/* release: the entry is whole before it counts */
	atomic_store_explicit(&entry->id, zs_residue_seal(id), memory_order_release);
}

static bool shape_is_sound(const struct zs_device_entry *entry, uint64_t slots_bytes)
{
	uint64_t bytes;

	if (!zs_is_power_of_two(entry->block_size) || entry->block_size < ZS_BLOCK_MIN_BYTES ||
	    entry->block_size > ZS_OBJECT_MAX_BYTES || !entry->size_bytes || entry->size_bytes % entry->block_size)
		return false;
	bytes = zs_table_bytes(entry->size_bytes / entry->block_size);
	return entry->table_offset % ZS_PAGE_SIZE == 0 && bytes <= slots_bytes &&
	       entry->table_offset <= slots_bytes - bytes;
}

int zs_entry_check(const struct zs_device_entry *entry, unsigned int index, uint64_t slots_bytes)
{
	uint64_t word = atomic_load_explicit(&entry->id, memory_order_acquire), id = zs_residue_value(word);
	const struct zs_device_attributes *attributes = zs_entry_attributes(entry);

	if (!word)
		return -ENOENT;
	if (!zs_residue_is_sound(word) || zs_device_index(id) != index || entry->checksum != entry_checksum(entry, id))
		return -EBADMSG;
	if (!zs_residue_is_sound(atomic_load(&entry->current)) ||
	    attributes->checksum != attributes_checksum(attributes))
		return -EBADMSG;
	if (!shape_is_sound(entry, slots_bytes) || !memchr(entry->name, 0, sizeof(entry->name)) ||
	    !zs_name_is_valid(entry->name))
		return -EBADMSG;
	return words_are_valid(attributes->codecs) ? 0 : -EBADMSG;
}
