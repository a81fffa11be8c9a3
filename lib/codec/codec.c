/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The codecs there are, and the names of their levels. */

#include "codec/codec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

static const struct zs_codec *const codecs[] = {&zs_codec_lz4, &zs_codec_zstd};

const struct zs_codec *zs_codec_find(enum zs_codec_id id)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(codecs); i++) {
		if (codecs[i]->id == id)
			return codecs[i];
	}
	return NULL;
}

static const struct zs_codec *codec_find_name(const char *name, size_t length)
{
	for (size_t i = 0; i < ZS_ARRAY_SIZE(codecs); i++) {
		if (strlen(codecs[i]->name) == length && !memcmp(codecs[i]->name, name, length))
			return codecs[i];
	}
	return NULL;
}

/* 0 lies between zstd's fast levels and its normal ones, and names none of them. */
static bool level_is_valid(const struct zs_codec *codec, long level)
{
	return level && level >= codec->level_min && level <= codec->level_max;
}

/* An optional '-' and digits: strtol(3) alone would also take blanks and a '+'. */
static int level_parse(const char *text, long *ret_level)
{
	const char *digits = text + (*text == '-');

	if (!*digits || digits[strspn(digits, "0123456789")])
		return -EINVAL;
	/* What doesn't fit into a long comes back as LONG_MIN or LONG_MAX, which no codec has. */
	*ret_level = strtol(text, NULL, 10);
	return 0;
}

int zs_codec_parse(const char *text, struct zs_codec_params *ret_params, const struct zs_codec **ret_codec)
{
	size_t length = strcspn(text, ":");
	const struct zs_codec *codec = codec_find_name(text, length);
	long level;

	if (!codec)
		return -ENOENT;
	level = codec->level_default;
	if (text[length] && level_parse(text + length + 1, &level))
		return -EINVAL;
	if (ret_codec)
		*ret_codec = codec;
	if (!level_is_valid(codec, level))
		return -ERANGE;
	*ret_params = (struct zs_codec_params){.codec = (uint8_t)codec->id, .level = (int)level};
	return 0;
}

bool zs_codec_params_are_valid(const struct zs_codec_params *params)
{
	const struct zs_codec *codec = zs_codec_find(params->codec);

	return codec && level_is_valid(codec, params->level);
}

bool zs_codec_uses_dictionary(uint8_t id)
{
	const struct zs_codec *codec = zs_codec_find(id);

	return codec && codec->compressor_load;
}

const char *zs_codec_format(const struct zs_codec_params *params, char text[static ZS_CODEC_TEXT_BYTES])
{
	const struct zs_codec *codec = zs_codec_find(params->codec);

	if (!codec)
		snprintf(text, ZS_CODEC_TEXT_BYTES, "codec%u:%d", params->codec, params->level);
	else if (params->level == codec->level_default)
		snprintf(text, ZS_CODEC_TEXT_BYTES, "%s", codec->name);
	else
		snprintf(text, ZS_CODEC_TEXT_BYTES, "%s:%d", codec->name, params->level);
	return text;
}
