/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines, sections and files.
 *
 * A line is empty, a comment, a [heading] or KEY=VALUE. (libeconf 0.5.1 is no help here: it drops a key that has the
 * name of the key in the line before, also if a heading is in between, so that of two devices with a Size= the second
 * one is lost.)
 */

#include "config_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "store/entry.h"

#define BLANKS	    " \t\r\n"
#define DROP_IN_END ".conf"

/* One file while it is read. */
struct file {
	struct zsd_config_text *text;
	const char *path;
	uint64_t line;
	size_t nr_before; /* sections of the files before this one */
	size_t section;	  /* that lines go into */
};

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length && strchr(BLANKS, text[length - 1]))
		text[--length] = 0;
	return text;
}

static char *copy(const char *text)
{
	return zs_fault() ? NULL : strdup(text);
}

static bool same_heading(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/*
 * sections and lines; all return 0 or -ENOMEM
 */

/* Goes on in a section of an earlier file, or begins one. */
static int begin_section(struct file *file, const char *heading)
{
	struct zsd_config_text *text = file->text;
	struct zsd_config_section *sections;
	char *name;

	for (size_t i = 0; i < file->nr_before; i++) {
		if (same_heading(text->sections[i].heading, heading)) {
			file->section = i;
			return 0;
		}
	}
	sections = zs_fault() ? NULL : reallocarray(text->sections, text->nr_sections + 1, sizeof(*sections));
	if (!sections)
		return -ENOMEM;
	text->sections = sections;
	name = heading ? copy(heading) : NULL;
	if (heading && !name)
		return -ENOMEM;
	file->section = text->nr_sections++;
	sections[file->section] = (struct zsd_config_section){.heading = name, .path = file->path, .line = file->line};
	return 0;
}

static int append_line(struct file *file, const struct zsd_config_line *line)
{
	struct zsd_config_section *section = &file->text->sections[file->section];
	struct zsd_config_line *lines = zs_fault()
						? NULL
						: reallocarray(section->lines, section->nr_lines + 1, sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	section->lines = lines;
	lines[section->nr_lines++] = *line;
	return 0;
}

/* A key that an earlier file gave is replaced; twice in one file is for the reader to judge. */
static int set_line(struct file *file, struct zsd_config_line *line)
{
	struct zsd_config_section *section = &file->text->sections[file->section];

	for (size_t i = 0; i < section->nr_lines; i++) {
		struct zsd_config_line *old = &section->lines[i];

		if (!old->key || strcmp(old->key, line->key) || old->path == file->path)
			continue;
		free(old->key);
		free(old->value);
		*old = *line;
		return 0;
	}
	return append_line(file, line);
}

static int add_problem(struct file *file, const char *problem)
{
	const struct zsd_config_line line = {.problem = problem, .path = file->path, .line = file->line};

	return append_line(file, &line);
}

static int add_assignment(struct file *file, const char *key, const char *value)
{
	struct zsd_config_line line = {.path = file->path, .line = file->line};
	int error;

	line.key = copy(key);
	line.value = copy(value);
	error = line.key && line.value ? set_line(file, &line) : -ENOMEM;
	if (error) {
		free(line.key);
		free(line.value);
	}
	return error;
}

static int take_heading(struct file *file, char *line)
{
	size_t length = strlen(line);

	if (line[length - 1] != ']')
		return add_problem(file, "a heading without its end; write it as [SECTION], and nothing behind it");
	line[length - 1] = 0;
	return begin_section(file, trim(line + 1));
}

static int take_line(struct file *file, char *text, size_t length)
{
	char *line, *equals;

	if (strlen(text) != length)
		return add_problem(file, "a NUL byte; this is no text");
	line = trim(text);
	equals = strchr(line, '=');
	if (!*line || *line == '#' || *line == ';')
		return 0;
	/* Whoever asks what became of a value gets it in JSON. */
	if (!zs_text_is_utf8(line))
		return add_problem(file, "not UTF-8; write the file in UTF-8");
	if (*line == '[')
		return take_heading(file, line);
	if (!equals || equals == line)
		return add_problem(file, "neither a heading nor a value; write [SECTION], KEY=VALUE or #COMMENT");
	*equals = 0;
	return add_assignment(file, trim(line), trim(equals + 1));
}

/*
 * files
 */

static int open_file(const char *path, FILE **ret_stream)
{
	/* O_NONBLOCK: a FIFO is to be refused, not waited for. */
	ZS_CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	*ret_stream = zs_fault() ? NULL : fdopen(fd, "r");
	if (!*ret_stream)
		return -ENOMEM;
	(void)zs_take_fd(fd);
	return 0;
}

/* Returns 0, -ENOMEM or -EIO. */
static int read_lines(struct file *file, FILE *stream)
{
	ZS_CLEANUP_FREE char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int error = begin_section(file, NULL);

	while (!error && (length = getline(&line, &capacity, stream)) >= 0) {
		file->line++;
		error = take_line(file, line, (size_t)length);
	}
	return !error && ferror(stream) ? -EIO : error;
}

static int keep_path(struct zsd_config_text *text, const char *path, const char **ret_kept)
{
	char **paths = zs_fault() ? NULL : reallocarray(text->paths, text->nr_paths + 1, sizeof(*paths)), *kept;

	if (!paths)
		return -ENOMEM;
	text->paths = paths;
	kept = copy(path);
	if (!kept)
		return -ENOMEM;
	*ret_kept = paths[text->nr_paths++] = kept;
	return 0;
}

/* A missing file is for the caller to judge; of others it is said why they can't be read. */
static int read_file(struct zsd_config_text *text, const char *path, bool must_exist)
{
	struct file file = {.text = text, .nr_before = text->nr_sections};
	FILE *stream = NULL;
	int error = open_file(path, &stream);

	if (error) {
		if (must_exist || error != -ENOENT)
			zs_log(ZS_LOG_ERR, "%s: can't be read: %s", path,
			       error == -EINVAL ? "not a file" : strerror(-error));
		return error;
	}
	error = keep_path(text, path, &file.path);
	if (!error)
		error = read_lines(&file, stream);
	fclose(stream);
	return error;
}

/*
 * drop-ins
 */

/* Below which the system's configuration may be besides where it was asked for; in the order of precedence. */
static const char *const system_directories[] = {"/run/zsd", "/usr/local/lib/zsd", "/usr/lib/zsd"};

struct drop_ins {
	char **paths; /* sorted by their last component, which is unique */
	size_t nr;
};

static const char *base_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

static void drop_ins_deinit(struct drop_ins *drop_ins)
{
	for (size_t i = 0; i < drop_ins->nr; i++)
		free(drop_ins->paths[i]);
	free(drop_ins->paths);
}

static int add_drop_in(struct drop_ins *drop_ins, const char *directory, const char *name)
{
	size_t place = 0, length = strlen(name), end = strlen(DROP_IN_END);
	char **paths, *path;

	if (length <= end || *name == '.' || strcmp(name + length - end, DROP_IN_END))
		return 0;
	while (place < drop_ins->nr && strcmp(base_of(drop_ins->paths[place]), name) < 0)
		place++;
	/* A directory of higher precedence has it. */
	if (place < drop_ins->nr && strcmp(base_of(drop_ins->paths[place]), name) == 0)
		return 0;
	paths = zs_fault() ? NULL : reallocarray(drop_ins->paths, drop_ins->nr + 1, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	drop_ins->paths = paths;
	if (zs_fault() || asprintf(&path, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	memmove(&paths[place + 1], &paths[place], (drop_ins->nr++ - place) * sizeof(*paths));
	paths[place] = path;
	return 0;
}

/* A directory that is missing or can't be read has none. */
static int find_drop_ins(struct drop_ins *drop_ins, const char *file)
{
	ZS_CLEANUP_FREE char *path = NULL;
	struct dirent *entry;
	DIR *directory;
	int error = 0;

	if (zs_fault() || asprintf(&path, "%s.d", file) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	directory = opendir(path);
	while (directory && !error && (entry = readdir(directory)))
		error = add_drop_in(drop_ins, path, entry->d_name);
	if (directory)
		closedir(directory);
	return error;
}

static bool is_masked(const char *path)
{
	struct stat status, null;

	return stat(path, &status) == 0 && stat("/dev/null", &null) == 0 && S_ISCHR(status.st_mode) &&
	       status.st_rdev == null.st_rdev;
}

static int read_drop_ins(struct zsd_config_text *text, const char *path, bool is_system)
{
	ZS_CLEANUP(drop_ins_deinit) struct drop_ins drop_ins = {.nr = 0};
	int error = find_drop_ins(&drop_ins, path);
	char other[64];

	for (size_t i = 0; is_system && !error && i < ZS_ARRAY_SIZE(system_directories); i++) {
		snprintf(other, sizeof(other), "%s/%s", system_directories[i], base_of(path));
		error = find_drop_ins(&drop_ins, other);
	}
	for (size_t i = 0; !error && i < drop_ins.nr; i++) {
		if (!is_masked(drop_ins.paths[i]))
			error = read_file(text, drop_ins.paths[i], true);
	}
	return error;
}

int zsd_config_text_read(const char *path, bool must_exist, struct zsd_config_text *ret_text)
{
	bool is_system = strcmp(path, ZSD_CONFIG_PATH) == 0;
	char other[64];
	int error;

	*ret_text = (struct zsd_config_text){.nr_sections = 0};
	error = is_system && is_masked(path) ? 0 : read_file(ret_text, path, must_exist);
	for (size_t i = 0; is_system && error == -ENOENT && i < ZS_ARRAY_SIZE(system_directories); i++) {
		snprintf(other, sizeof(other), "%s/%s", system_directories[i], base_of(path));
		error = read_file(ret_text, other, false);
	}
	if (error && (error != -ENOENT || must_exist))
		return error;
	return read_drop_ins(ret_text, path, is_system);
}

static void drop_lines(struct zsd_config_section *section)
{
	for (size_t i = 0; i < section->nr_lines; i++) {
		free(section->lines[i].key);
		free(section->lines[i].value);
	}
	free(section->lines);
	section->lines = NULL;
	section->nr_lines = 0;
}

void zsd_config_text_deinit(struct zsd_config_text *text)
{
	for (size_t i = 0; i < text->nr_sections; i++) {
		struct zsd_config_section *section = &text->sections[i];

		drop_lines(section);
		free(section->heading);
	}
	free(text->sections);
	for (size_t i = 0; i < text->nr_paths; i++)
		free(text->paths[i]);
	free(text->paths);
	*text = (struct zsd_config_text){.nr_sections = 0};
}

const struct zsd_config_line *zsd_config_text_find(const struct zsd_config_text *text, const char *heading,
						   const char *key)
{
	for (size_t i = 0; i < text->nr_sections; i++) {
		const struct zsd_config_section *section = &text->sections[i];

		for (size_t j = 0; same_heading(section->heading, heading) && j < section->nr_lines; j++) {
			if (section->lines[j].key && strcmp(section->lines[j].key, key) == 0)
				return &section->lines[j];
		}
	}
	return NULL;
}

int zsd_config_text_set(struct zsd_config_text *text, const char *heading, const char *key, const char *value)
{
	/* As if it were one more file. */
	struct file file = {.text = text, .path = "zsctl set", .nr_before = text->nr_sections};
	struct zsd_config_line *old = (struct zsd_config_line *)zsd_config_text_find(text, heading, key);
	int error;

	if (old) {
		char *kept = copy(value);

		if (!kept)
			return -ENOMEM;
		free(old->value);
		old->value = kept;
		old->path = file.path;
		old->line = 0;
		return 0;
	}
	error = begin_section(&file, heading);
	return error ?: add_assignment(&file, key, value);
}

int zsd_config_text_restore(struct zsd_config_text *text, const struct zsd_config_text *from, const char *heading)
{
	int error = 0;

	for (size_t i = 0; i < text->nr_sections; i++) {
		if (same_heading(text->sections[i].heading, heading))
			drop_lines(&text->sections[i]);
	}
	for (size_t i = 0; i < from->nr_sections; i++) {
		const struct zsd_config_section *section = &from->sections[i];

		for (size_t j = 0; same_heading(section->heading, heading) && j < section->nr_lines && !error; j++) {
			if (section->lines[j].key)
				error = zsd_config_text_set(text, heading, section->lines[j].key,
							    section->lines[j].value);
		}
	}
	return error;
}
