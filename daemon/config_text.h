#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of zsd.conf and its drop-ins: sections with lines, each knowing its file and line. What a line means is not
 * known here.
 *
 * A drop-in is a file *.conf in the directory zsd.conf.d beside zsd.conf. Drop-ins are read in the order of their names
 * after zsd.conf: a key that was given in an earlier file is replaced where it stands, others are added to the section.
 * The system's own configuration is looked for below /etc, /run, /usr/local/lib and /usr/lib: of zsd.conf, and of
 * drop-ins with one name, the first one counts; a link to /dev/null is as good as an empty file.
 *
 * Context: any thread; nothing is kept between calls.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zsd_config_line {
	char *key;	     /* NULL: the line is wrong */
	char *value;	     /* NULL with it */
	const char *problem; /* what is wrong: a constant; NULL if there is a key */
	const char *path;    /* of the file; the text's */
	uint64_t line;
};

struct zsd_config_section {
	char *heading; /* without brackets; NULL: what is in front of the first one */
	const char *path;
	uint64_t line;
	struct zsd_config_line *lines;
	size_t nr_lines;
};

struct zsd_config_text {
	struct zsd_config_section *sections;
	size_t nr_sections;
	char **paths; /* of the files that were read, in this order */
	size_t nr_paths;
};

/*
 * Reads a file and its drop-ins; a missing one is an empty one unless must_exist. What can't be read is logged. Give
 * ret_text to zsd_config_text_deinit(), also after a failure. Returns 0, -ENOENT, -EINVAL (not a file), -ENOMEM, -EIO
 * or an errno of open(2).
 */
int zsd_config_text_read(const char *path, bool must_exist, struct zsd_config_text *ret_text);
void zsd_config_text_deinit(struct zsd_config_text *text);

/*
 * Gives a key a value that comes from a command and not from a file; path and line of the line say so. Returns 0 or
 * -ENOMEM.
 */
int zsd_config_text_set(struct zsd_config_text *text, const char *heading, const char *key, const char *value);

/* The same for all keys of a section: it has those that it has in another text, and no others. */
int zsd_config_text_restore(struct zsd_config_text *text, const struct zsd_config_text *from, const char *heading);

/* The line that gives a key its value, or NULL. heading as in brackets: "Device vm0". */
const struct zsd_config_line *zsd_config_text_find(const struct zsd_config_text *text, const char *heading,
						   const char *key);
