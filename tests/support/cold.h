#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A backing file and who uses it: a table of handles that says where each object's record is, as handle words do, and
 * that can make each object's content anew. A failure of the machinery itself ends the test.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/backing.h"

#define TEST_COLD_HANDLES 4096

/* One handle. */
struct test_cold_object {
	bool is_used;	       /* the object exists: in the file, on its way to it, or only in memory */
	struct zs_place place; /* units 0: not in the file */
	bool is_pending;
	bool is_pinned; /* collection can't move it */
	uint32_t size;
	uint64_t seed; /* of the content */
};

struct test_cold {
	struct zs_arena arena;
	struct zs_backing *backing;
	struct zs_backing_options options;
	char path[128];
	struct test_cold_object objects[TEST_COLD_HANDLES]; /* [0] is none */
	uint64_t nr_done, nr_failed;			    /* records told of */
	int last_error;
	uint64_t nr_restored; /* by collection */
	struct zs_backing_faults faults;
	uint64_t nr_writes; /* that were over since it was made */
	uint64_t fail_at;   /* this one answers fault, from 1 on; 0 = none */
	uint64_t fail_more; /* and so many after it */
	int fault;	    /* -errno; bytes, a short write; -EINPROGRESS, late */
	unsigned int late;  /* how often it is asked for until a late one is over */
	bool fails_reads;
	uint64_t now_ns;
};

/* Makes an empty file of so many bytes in the directory for temporary files, and an arena; opens nothing. */
struct test_cold *test_cold_create(uint64_t file_bytes);
/* Closes and removes all. */
void test_cold_destroy(struct test_cold *cold);

int test_cold_open(struct test_cold *cold);
void test_cold_close(struct test_cold *cold);
/* What a killed process does: the arena is reopened, its records adopted; the file is not closed in an orderly way. */
void test_cold_reopen(struct test_cold *cold);

/* Appends a new object of so many bytes of payload to the file. Returns what zs_backing_append() does. */
int test_cold_append(struct test_cold *cold, uint32_t handle, uint32_t size);
/* All that was appended is in the file, or failed. */
void test_cold_flush(struct test_cold *cold);
void test_cold_free(struct test_cold *cold, uint32_t handle);
/* Reads one and asserts that it is what was written. Returns 0, -EIO or -EBADMSG. */
int test_cold_read(struct test_cold *cold, uint32_t handle);
/* Reads all that are in the file; asserts that they are there. */
void test_cold_check(struct test_cold *cold);
int test_cold_collect(struct test_cold *cold, unsigned int percent, unsigned int nr_segments);
struct zs_backing_stats test_cold_stats(struct test_cold *cold);
