#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread of the load generator: keeps a file or block device busy with blocks of a corpus held in memory.
 *
 * The plan is constant while jobs run; a job owns everything else. A depth of 1 uses pread(2)
 * and pwrite(2), a larger one native AIO, where one thread submits everything: it is what a database or a virtual
 * machine does, and it shows which stores use a second core for a single client.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "load_windows.h"

/* Block i of this size on the device holds block (i * stride) of the corpus; see load_corpus_stride(). */
#define LOAD_CHUNK_BYTES ((size_t)1 << 20)
#define LOAD_DEPTH_MAX	 256
#define LOAD_PATHS_MAX	 256

struct load_plan {
	const char *const
		*paths; /* of this job: the only thing that jobs don't share; each operation takes one by chance */
	unsigned int nr_paths;
	const char *corpus; /* corpus_bytes of it, a multiple of LOAD_CHUNK_BYTES, page-aligned */
	uint64_t corpus_bytes;
	uint64_t region_bytes; /* from the start of the file; a multiple of LOAD_CHUNK_BYTES */
	size_t block_bytes;
	unsigned int depth;
	unsigned int write_percent; /* of the operations, by chance if it is neither 0 nor 100 */
	bool random;
	bool verify;	   /* compare what is read with what a sequential write left there */
	uint64_t ramp_ns;  /* not counted */
	uint64_t limit_ns; /* counted after the ramp; 0 = one pass over the region, counted as a whole */
	uint64_t seed;
	struct load_windows *windows; /* what is to be filled in by this job, with a length of 0 if nothing */
};

struct load_result {
	uint64_t ops;		  /* in the counted window */
	uint64_t ns;		  /* length of the window, from one completion to another */
	uint64_t ops_all;	  /* ramp and drain included: what the processor time was spent on */
	struct histogram latency; /* of the counted operations */
};

/*
 * Runs the plan in the calling thread; job spreads random offsets. Returns 0; -EBADMSG if verify found another
 * content; else the errno of the call that failed, -EIO for a short read or write. It says on stderr what failed.
 */
int load_job_run(const struct load_plan *plan, unsigned int job, struct load_result *ret_result);
