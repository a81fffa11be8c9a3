/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The columns of the tables. */

#include "columns.h"

const struct zsctl_column zsctl_list_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device and of its file"},
	{"STATE", "state", ZSCTL_TEXT, true, "active, or degraded when blocks were found damaged"},
	{"ALGORITHM", "algorithm", ZSCTL_TEXT, true, "codec that writes use, with its level if not the default"},
	{"SIZE", "size_bytes", ZSCTL_SIZE, true, "size of the file"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "data = SAME + COMPRESSED + INCOMPRESSIBLE + WRITTEN-BACK"},
	{"COMPR", "stored_bytes", ZSCTL_SIZE, true, "stored after compression, without any overhead"},
	{"TOTAL", "memory_bytes", ZSCTL_SIZE, true, "memory that the device costs, overhead included"},
	{"RATIO", "ratio", ZSCTL_RATIO, true, "(DATA - WRITTEN-BACK) / TOTAL"},
	{"FILE", "file", ZSCTL_TEXT, true, "path of the file"},
	{"SAME", "same_bytes", ZSCTL_SIZE, false, "data in blocks that repeat one word"},
	{"COMPRESSED", "compressed_bytes", ZSCTL_SIZE, false, "data in blocks that are compressed, before that"},
	{"INCOMPRESSIBLE", "incompressible_bytes", ZSCTL_SIZE, false, "data in blocks that are stored as they are"},
	{"WRITTEN-BACK", "written_back_bytes", ZSCTL_SIZE, false, "data in the backing file, not in memory"},
	{"BLOCK-SIZE", "block_size_bytes", ZSCTL_SIZE, false, "unit of compression"},
	{"LIMIT", "memory_limit_bytes", ZSCTL_SIZE, false, "the most that TOTAL may be"},
	{"GROUP", "group", ZSCTL_TEXT, false, "group whose limit it shares"},
	{"RECOMPRESS", "recompress", ZSCTL_TEXT, false, "codecs for recompression"},
	{"CACHE", "cache", ZSCTL_TEXT, false, "kernel if the page cache is used, or none"},
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
	{"READ-P50", "read_p50_ns", ZSCTL_TOOK, false, "half of the reads took at most this"},
	{"READ-P99", "read_p99_ns", ZSCTL_TOOK, false, "99 % of the reads took at most this"},
	{"READ-MAX", "read_max_ns", ZSCTL_TOOK, false, "the longest of the reads"},
	{"WRITE-P50", "write_p50_ns", ZSCTL_TOOK, false, "half of the writes took at most this"},
	{"WRITE-P99", "write_p99_ns", ZSCTL_TOOK, false, "99 % of the writes took at most this"},
	{"WRITE-MAX", "write_max_ns", ZSCTL_TOOK, false, "the longest of the writes"},
	{"DISCARD-P50", "discard_p50_ns", ZSCTL_TOOK, false, "half of the discards took at most this"},
	{"DISCARD-P99", "discard_p99_ns", ZSCTL_TOOK, false, "99 % of the discards took at most this"},
	{"DISCARD-MAX", "discard_max_ns", ZSCTL_TOOK, false, "the longest of the discards"},
	{"CREATED", "created_usec", ZSCTL_TIME, false, "when the device was made and counting began"},
	{"MODIFIED", "modified_usec", ZSCTL_TIME, false, "last change of data"},
	{"GROUP", "group", ZSCTL_TEXT, false, "group whose limit it shares"},
	{},
};

const struct zsctl_column zsctl_usage_columns[] = {
	{"TYPE", "type", ZSCTL_TEXT, true, "same-filled, a codec, incompressible, written-back, or total"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "before compression; the total is the sum of the others"},
	{"STORED", "stored_bytes", ZSCTL_SIZE, true, "payload in memory after compression"},
	{"RATIO", "ratio", ZSCTL_RATIO, true, "DATA / STORED"},
	{"SHARE", "share", ZSCTL_SHARE, true, "DATA / DATA of the total"},
	{},
};

const struct zsctl_column zsctl_iostat_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device"},
	{"READS", "reads_per_sec", ZSCTL_RATE, true, "read requests, a second"},
	{"WRITES", "writes_per_sec", ZSCTL_RATE, true, "write requests, a second"},
	{"DISCARDS", "discards_per_sec", ZSCTL_RATE, true, "discard and write-zeroes requests, a second"},
	{"READ", "read_bytes_per_sec", ZSCTL_SIZE, true, "bytes read, a second"},
	{"WRITTEN", "written_bytes_per_sec", ZSCTL_SIZE, true, "bytes written, a second"},
	{"DISCARDED", "discarded_bytes_per_sec", ZSCTL_SIZE, true, "bytes discarded or zeroed, a second"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "as in list, now"},
	{"TOTAL", "memory_bytes", ZSCTL_SIZE, true, "as in list, now"},
	{"READ-P50", "read_p50_ns", ZSCTL_TOOK, false, "half of the reads took at most this; needs -l"},
	{"READ-P99", "read_p99_ns", ZSCTL_TOOK, false, "99 % of the reads took at most this; needs -l"},
	{"WRITE-P50", "write_p50_ns", ZSCTL_TOOK, false, "half of the writes took at most this; needs -l"},
	{"WRITE-P99", "write_p99_ns", ZSCTL_TOOK, false, "99 % of the writes took at most this; needs -l"},
	{"DISCARD-P50", "discard_p50_ns", ZSCTL_TOOK, false, "half of the discards took at most this; needs -l"},
	{"DISCARD-P99", "discard_p99_ns", ZSCTL_TOOK, false, "99 % of the discards took at most this; needs -l"},
	{},
};

const struct zsctl_column zsctl_groups_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "name of the group"},
	{"DEVICES", "devices", ZSCTL_COUNT, true, "number of its devices"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "sums over them, as in list"},
	{"COMPR", "stored_bytes", ZSCTL_SIZE, true, "as DATA"},
	{"TOTAL", "memory_bytes", ZSCTL_SIZE, true, "as DATA"},
	{"CHARGED", "charged_bytes", ZSCTL_SIZE, true, "what counts against the limit"},
	{"LIMIT", "memory_limit_bytes", ZSCTL_SIZE, true, "the most that CHARGED may be"},
	{},
};

const struct zsctl_column zsctl_owners_columns[] = {
	{"KIND", "kind", ZSCTL_TEXT, true, "device, or group: the sum over its devices"},
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device or group"},
	{"NODE", "node", ZSCTL_COUNT, true, "node of the machine's memory"},
	{"COMPR", "stored_bytes", ZSCTL_SIZE, true, "payload on the node"},
	{"SHARE", "share_bytes", ZSCTL_SIZE, true, "its share of the pages that it lies on"},
	{"GROUP", "group", ZSCTL_TEXT, false, "group of the device"},
	{},
};

const struct zsctl_column zsctl_classes_columns[] = {
	{"CLASS", "class", ZSCTL_COUNT, true, "number of the class"},
	{"SIZE", "object_bytes", ZSCTL_COUNT, true, "bytes of an object with its header"},
	{"ZSPAGES", "zspages", ZSCTL_COUNT, true, "zspages of the class"},
	{"MEMORY", "zspage_bytes", ZSCTL_SIZE, true, "their memory = ZSPAGES * PAGES-PER-ZSPAGE * 4096"},
	{"OBJECTS", "objects_active", ZSCTL_COUNT, true, "objects in use"},
	{"ROOM", "objects_total", ZSCTL_COUNT, true, "places for objects = ZSPAGES * OBJECTS-PER-ZSPAGE"},
	{"FREEABLE", "freeable_bytes", ZSCTL_SIZE, true, "memory that compaction would free at best"},
	{"LOCK-WAITS", "lock_waits", ZSCTL_COUNT, true, "how often a thread found the class locked"},
	{"LOCK-WAIT-NS", "lock_wait_ns", ZSCTL_COUNT, false, "how long it waited then, nanoseconds"},
	{"PAGES-PER-ZSPAGE", "pages_per_zspage", ZSCTL_COUNT, false, "pages of a zspage"},
	{"OBJECTS-PER-ZSPAGE", "objects_per_zspage", ZSCTL_COUNT, false, "objects that a zspage has room for"},
	{"FULL-0", "full_0", ZSCTL_COUNT, false, "zspages without an object in use"},
	{"FULL-10", "full_10", ZSCTL_COUNT, false, "zspages with less than 10 % in use, but some"},
	{"FULL-20", "full_20", ZSCTL_COUNT, false, "zspages with 10 % to less than 20 % in use"},
	{"FULL-30", "full_30", ZSCTL_COUNT, false, "zspages with 20 % to less than 30 % in use"},
	{"FULL-40", "full_40", ZSCTL_COUNT, false, "zspages with 30 % to less than 40 % in use"},
	{"FULL-50", "full_50", ZSCTL_COUNT, false, "zspages with 40 % to less than 50 % in use"},
	{"FULL-60", "full_60", ZSCTL_COUNT, false, "zspages with 50 % to less than 60 % in use"},
	{"FULL-70", "full_70", ZSCTL_COUNT, false, "zspages with 60 % to less than 70 % in use"},
	{"FULL-80", "full_80", ZSCTL_COUNT, false, "zspages with 70 % to less than 80 % in use"},
	{"FULL-90", "full_90", ZSCTL_COUNT, false, "zspages with 80 % to less than 90 % in use"},
	{"FULL-99", "full_99", ZSCTL_COUNT, false, "zspages with 90 % to less than 100 % in use"},
	{"FULL-100", "full_100", ZSCTL_COUNT, false, "zspages with all objects in use"},
	{},
};

const struct zsctl_column zsctl_caches_columns[] = {
	{"NAME", "name", ZSCTL_TEXT, true, "handle: where objects are; zspage: descriptors of zspages"},
	{"SIZE", "object_bytes", ZSCTL_COUNT, true, "bytes of an object"},
	{"OBJECTS", "objects_active", ZSCTL_COUNT, true, "objects in use"},
	{"ROOM", "objects_total", ZSCTL_COUNT, true, "objects that have memory = PAGES * (4096 / SIZE)"},
	{"PAGES", "pages", ZSCTL_COUNT, true, "pages with memory"},
	{"MAGAZINES", "magazine_objects", ZSCTL_COUNT, true, "free objects that threads keep at hand"},
	{"LOCK-WAITS", "lock_waits", ZSCTL_COUNT, true, "how often a thread found the cache locked"},
	{"LOCK-WAIT-NS", "lock_wait_ns", ZSCTL_COUNT, false, "how long it waited then, nanoseconds"},
	{},
};

const struct zsctl_column zsctl_ages_columns[] = {
	{"AGE", "age", ZSCTL_TEXT, true, "time since the last access"},
	{"BLOCKS", "blocks", ZSCTL_COUNT, true, "blocks with an object"},
	{"DATA", "data_bytes", ZSCTL_SIZE, true, "data in them"},
	{},
};

const struct zsctl_column zsctl_tasks_columns[] = {
	{"TASK", "task", ZSCTL_COUNT, true, "number, for cancel"},
	{"KIND", "kind", ZSCTL_TEXT, true, "what it does"},
	{"STATE", "state", ZSCTL_TEXT, true, "waiting, running, done, cancelled or failed"},
	{"NAME", "name", ZSCTL_TEXT, true, "name of the device"},
	{"REASON", "reason", ZSCTL_TEXT, true, "who wanted it: command, or a policy"},
	{"BLOCKS", "blocks", ZSCTL_COUNT, true, "blocks to look at"},
	{"LOOKED", "blocks_done", ZSCTL_COUNT, true, "looked at so far"},
	{"TRIED", "blocks_tried", ZSCTL_COUNT, true, "worked on"},
	{"CHANGED", "blocks_changed", ZSCTL_COUNT, true, "stored anew"},
	{"SAVED", "saved_bytes", ZSCTL_SIZE, true, "memory"},
	{"WRITTEN", "written_bytes", ZSCTL_SIZE, false, "to the backing file"},
	{"BUSY", "blocks_busy", ZSCTL_COUNT, false, "left alone since they were in use"},
	{"FAILED", "blocks_failed", ZSCTL_COUNT, false, "could not be read, or had no memory"},
	{"ERROR", "error", ZSCTL_TEXT, false, "why it failed"},
	{},
};

const struct zsctl_column zsctl_dictionaries_columns[] = {
	{"VERSION", "version", ZSCTL_COUNT, true, "number of the dictionary"},
	{"CURRENT", "current", ZSCTL_TEXT, true, "yes: recompression uses it"},
	{"SIZE", "size_bytes", ZSCTL_SIZE, true, "of the dictionary"},
	{"MEMORY", "memory_bytes", ZSCTL_SIZE, true, "that it takes, tables for decompression included"},
	{"BLOCKS", "blocks", ZSCTL_COUNT, true, "blocks in memory that need it"},
	{"CREATED", "created_usec", ZSCTL_TIME, true, "when it was trained"},
	{"DAMAGED", "damaged", ZSCTL_TEXT, false, "yes: blocks that need it can't be read"},
	{},
};

const struct zsctl_column zsctl_backing_columns[] = {
	{"REASON", "reason", ZSCTL_TEXT, true, "why: command, or a policy"},
	{"TASKS", "tasks", ZSCTL_COUNT, true, "that have ended"},
	{"BLOCKS", "written_back_blocks", ZSCTL_COUNT, true, "written back"},
	{"WRITTEN", "written_back_bytes", ZSCTL_SIZE, true, "to the backing file"},
	{"FREED", "freed_bytes", ZSCTL_SIZE, true, "memory"},
	{"RECOMPRESSED", "recompressed_blocks", ZSCTL_COUNT, true, "blocks that got a denser codec"},
	{"SAVED", "recompression_saved_bytes", ZSCTL_SIZE, true, "memory"},
	{},
};
