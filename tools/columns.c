/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The columns of the tables. */

#include "columns.h"

const struct zsctl_column zsctl_list_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device and of its file"},
	{"STATE", "state", ZSCTL_TEXT, true, "active, or degraded when blocks were found damaged"},
	{"ALGORITHM", "algorithm", ZSCTL_TEXT, true, "codec that writes use, with its level if not the default"},
	{"SIZE", "size_bytes", ZSCTL_SIZE, true, "size of the file"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "stored before compression = SAME + INCOMPRESSIBLE + compressed data"},
	{"COMPR", "stored_bytes", ZSCTL_SIZE, true, "stored after compression, without any overhead"},
	{"TOTAL", "memory_bytes", ZSCTL_SIZE, true, "memory that the device costs, overhead included"},
	{"RATIO", "ratio", ZSCTL_RATIO, true, "DATA / TOTAL"},
	{"FILE", "file", ZSCTL_TEXT, true, "path of the file"},
	{"SAME", "same_bytes", ZSCTL_SIZE, false, "data in blocks that repeat one word"},
	{"INCOMPRESSIBLE", "incompressible_bytes", ZSCTL_SIZE, false, "data in blocks that are stored as they are"},
	{"BLOCK-SIZE", "block_size_bytes", ZSCTL_SIZE, false, "unit of compression"},
	{"LIMIT", "memory_limit_bytes", ZSCTL_SIZE, false, "the most that TOTAL may be"},
	{"OPEN", "open_count", ZSCTL_COUNT, false, "how often the file is open"},
	{"ERRORS", "errors", ZSCTL_COUNT, false, "blocks found damaged, each time one was read"},
	{"MODE", "mode", ZSCTL_TEXT, false, "permission bits of the file, octal"},
	{"UID", "uid", ZSCTL_COUNT, false, "owner of the file"},
	{"GID", "gid", ZSCTL_COUNT, false, "group of the file"},
	{"CREATED", "created_usec", ZSCTL_TIME, false, "when the device was made"},
	{},
};

const struct zsctl_column zsctl_stats_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device"},
	{"READS", "reads", ZSCTL_COUNT, true, "read requests"},
	{"READ", "read_bytes", ZSCTL_SIZE, true, "bytes read"},
	{"WRITES", "writes", ZSCTL_COUNT, true, "write requests"},
	{"WRITTEN", "written_bytes", ZSCTL_SIZE, true, "bytes written"},
	{"DISCARDS", "discards", ZSCTL_COUNT, true, "discard and write-zeroes requests"},
	{"DISCARDED", "discarded_bytes", ZSCTL_SIZE, true, "bytes discarded or zeroed"},
	{"NO-SPACE", "no_space", ZSCTL_COUNT, true, "writes refused for lack of room"},
	{"ERRORS", "errors", ZSCTL_COUNT, true, "blocks found damaged, each time one was read"},
	{"SAME-BLOCKS", "same_blocks", ZSCTL_COUNT, false, "blocks that repeat one word"},
	{"OBJECTS", "object_blocks", ZSCTL_COUNT, false, "blocks with a payload, incompressible ones included"},
	{"INCOMPRESSIBLE", "incompressible_blocks", ZSCTL_COUNT, false, "blocks that are stored as they are"},
	{"DATA", "data_bytes", ZSCTL_SIZE, false, "as in list"},
	{"COMPR", "stored_bytes", ZSCTL_SIZE, false, "as in list"},
	{"TOTAL", "memory_bytes", ZSCTL_SIZE, false, "as in list"},
	{"MODIFIED", "modified_usec", ZSCTL_TIME, false, "last change of data"},
	{},
};
