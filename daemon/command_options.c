/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device options from text and numbers. */

#include "command_options.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "store/entry.h"

#define MODE_MAX 0777u
/* An entry of the user or group database; a group with thousands of members needs more, and its number then. */
#define NAME_LOOKUP_BYTES ((size_t)16 << 10)

int zsd_options_refuse(char reason[static ZSD_REASON_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, ZSD_REASON_BYTES, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

void zsd_options_init(struct zs_device_options *options)
{
	*options = (struct zs_device_options){.block_size = ZS_BLOCK_MIN_BYTES, .uid = geteuid(), .gid = getegid()};
	zs_assert(zs_codec_parse("lz4", &options->codec, NULL) == 0);
}

static int parse_algorithm(const char *text, struct zs_codec_params *ret_params, char reason[static ZSD_REASON_BYTES])
{
	const struct zs_codec *codec = NULL;

	switch (zs_codec_parse(text, ret_params, &codec)) {
	case 0:
		return 0;
	case -ERANGE:
		return zsd_options_refuse(reason, "%s out of range; use %s:%d to %s:%d", codec->level_word, codec->name,
					  codec->level_min, codec->name, codec->level_max);
	case -ENOENT:
		return zsd_options_refuse(reason, "no such algorithm; use lz4, lz4:ACCELERATION, zstd or zstd:LEVEL");
	default:
		return zsd_options_refuse(reason, "no number behind the colon; write it as in lz4:4 or zstd:19");
	}
}

int zsd_options_set_algorithm(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES])
{
	return parse_algorithm(text, &options->codec, reason);
}

int zsd_options_set_recompress(struct zs_device_options *options, const char *text,
			       char reason[static ZSD_REASON_BYTES])
{
	struct zs_codec_params codecs[ZS_RECOMPRESS_CODECS];
	char word[ZS_CODEC_TEXT_BYTES];
	unsigned int nr = 0;
	int length;

	for (; sscanf(text, " %23s%n", word, &length) == 1; text += length) {
		if (strcmp(word, "none") == 0 && !nr && !text[length])
			break;
		if (nr == ZS_RECOMPRESS_CODECS)
			return zsd_options_refuse(reason, "more than three; leave one out");
		if (parse_algorithm(word, &codecs[nr], reason))
			return -EINVAL;
		nr++;
	}
	memcpy(options->recompress, codecs, nr * sizeof(codecs[0]));
	options->nr_recompress = nr;
	return 0;
}

const char *zsd_options_recompress_text(const struct zs_codec_params *codecs, unsigned int nr,
					char text[static ZSD_CODECS_TEXT_BYTES])
{
	char *at = text;

	*at = 0;
	for (unsigned int i = 0; i < nr; i++) {
		char word[ZS_CODEC_TEXT_BYTES];

		at += sprintf(at, "%s%s", i ? " " : "", zs_codec_format(&codecs[i], word));
	}
	return text;
}

int zsd_options_set_mode(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES])
{
	uint32_t mode = 0;
	size_t length = strlen(text);

	if (length < 3 || length > 4 || strspn(text, "01234567") != length)
		return zsd_options_refuse(reason, "not a file mode; write it in octal, as in 0660");
	for (const char *digit = text; *digit; digit++)
		mode = mode * 8 + (uint32_t)(*digit - '0');
	if (!mode || mode > MODE_MAX)
		return zsd_options_refuse(reason, "not possible for a device; use 0001 to 0777");
	options->mode = mode;
	return 0;
}

/* An id in decimal; the last one, -1, means "unchanged" to chown(2) and is nobody's. */
static bool parse_id(const char *text, uint32_t *ret_id)
{
	char *end;
	unsigned long id;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno || *end || id >= UINT32_MAX)
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

static bool find_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	char buffer[NAME_LOOKUP_BYTES];
	struct passwd entry, *found = NULL;

	if (getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) || !found)
		return parse_id(name, ret_uid);
	*ret_uid = found->pw_uid;
	*ret_gid = found->pw_gid;
	return true;
}

static bool find_group(const char *name, uint32_t *ret_gid)
{
	char buffer[NAME_LOOKUP_BYTES];
	struct group entry, *found = NULL;

	if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) || !found)
		return parse_id(name, ret_gid);
	*ret_gid = found->gr_gid;
	return true;
}

int zsd_options_set_owner(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES])
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	uint32_t uid, gid = options->gid;
	char user[LOGIN_NAME_MAX];

	if (!length || length >= sizeof(user) || (colon && !colon[1]))
		return zsd_options_refuse(reason, "not an owner; write it as USER or USER:GROUP");
	memcpy(user, text, length);
	user[length] = 0;
	if (!find_user(user, &uid, &gid))
		return zsd_options_refuse(reason, "no such user; create it first, or use a number");
	if (colon && !find_group(colon + 1, &gid))
		return zsd_options_refuse(reason, "no such group; create it first, or use a number");
	options->uid = uid;
	options->gid = gid;
	return 0;
}

static const char *const cache_names[] = {[false] = "none", [true] = "kernel"};

int zsd_options_set_cache(struct zs_device_options *options, const char *text, char reason[static ZSD_REASON_BYTES])
{
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(cache_names); i++) {
		if (strcmp(text, cache_names[i]) != 0)
			continue;
		options->page_cache = i;
		return 0;
	}
	return zsd_options_refuse(reason, "no such cache; use none or kernel");
}

const char *zsd_options_cache_name(bool page_cache)
{
	return cache_names[page_cache];
}

int zsd_options_check_group(const char *name, char reason[static ZSD_REASON_BYTES])
{
	if (zs_name_is_valid(name))
		return 0;
	return zsd_options_refuse(reason,
				  "not a group name; use 1 to %d bytes of UTF-8 without '/', '.' and control "
				  "characters",
				  ZS_DEVICE_NAME_BYTES - 1);
}

static int check_size(const struct zs_device_options *options, char reason[static ZSD_REASON_BYTES])
{
	uint64_t block_size = options->block_size;

	if (!options->size_bytes)
		return zsd_options_refuse(reason, "a device has at least one block; use %" PRIu64 " bytes or more",
					  block_size);
	if (options->size_bytes % block_size)
		return zsd_options_refuse(
			reason, "not a multiple of the block size, %" PRIu64 " bytes; the next one is %" PRIu64,
			block_size, zs_align_up(options->size_bytes, block_size));
	return 0;
}

int zsd_options_check(const struct zs_device_options *options, enum zs_device_field *ret_field,
		      char reason[static ZSD_REASON_BYTES])
{
	*ret_field = ZS_FIELD_NAME;
	if (!zs_name_is_valid(options->name))
		return zsd_options_refuse(reason,
					  "not a device name; use 1 to %d bytes of UTF-8 without '/', '.' and control "
					  "characters",
					  ZS_DEVICE_NAME_BYTES - 1);
	*ret_field = ZS_FIELD_BLOCK_SIZE;
	if (!zs_is_power_of_two(options->block_size) || options->block_size < ZS_BLOCK_MIN_BYTES ||
	    options->block_size > ZS_BLOCK_MAX_BYTES)
		return zsd_options_refuse(reason, "not a block size; use 4K, 8K, 16K, 32K or 64K");
	*ret_field = ZS_FIELD_SIZE;
	if (check_size(options, reason))
		return -EINVAL;
	*ret_field = ZS_FIELD_GROUP;
	if (options->group && zsd_options_check_group(options->group, reason))
		return -EINVAL;
	*ret_field = ZS_FIELD_NONE;
	return 0;
}

static bool same_codecs(const struct zs_codec_params *one, const struct zs_codec_params *other, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (one[i].codec != other[i].codec || one[i].level != other[i].level)
			return false;
	}
	return true;
}

const char *zsd_options_difference(const struct zs_device_options *options, const struct zs_device_info *info)
{
	const struct {
		const char *field;
		bool is_same;
	} fields[] = {
		{"size_bytes", options->size_bytes == info->size_bytes},
		{"block_size_bytes", (options->block_size ?: ZS_BLOCK_MIN_BYTES) == info->block_size},
		{"algorithm", same_codecs(&options->codec, &info->codec, 1)},
		{"recompress", options->nr_recompress == info->nr_recompress &&
				       same_codecs(options->recompress, info->recompress, info->nr_recompress)},
		{"memory_limit_bytes", options->memory_limit_bytes == info->memory_limit_bytes},
		{"group", strcmp(options->group ?: "", info->group) == 0},
		{"cache", options->page_cache == info->page_cache},
		{"read_only", options->read_only == info->read_only},
		{"mode", (options->mode ?: 0600) == info->mode},
		{"uid", options->uid == info->uid},
		{"gid", options->gid == info->gid},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(fields); i++) {
		if (!fields[i].is_same)
			return fields[i].field;
	}
	return NULL;
}
