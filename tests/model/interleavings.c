/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two threads on one block, in every order in which one of them can come in between.
 *
 * The first thread of a child reads, writes, discards or modifies a block, writes it back, or reads it from the backing
 * file, again and again. The first time it is stopped after its first instructions, the next time a little later, and
 * so on; while it stands still a second thread makes a burst of changes: to the same block, and to others that take
 * over whatever has been freed. Then the first one goes on. It must see the block as it was at some time in between,
 * and leave it as one of the two wrote it last; all other blocks are as the second thread wrote them.
 *
 * Or the second thread changes nothing, but compacts: objects move, that of the block among them unless it is in use,
 * and others take over where they were (interleave_fragments.h). The first one must not notice.
 *
 * Blocks are filled with an 8-byte word that names block and version: such blocks have an object, and no codec takes
 * tens of thousands of instructions that are of no interest here. Such objects are never written back: where a backing
 * file is in use each word is a bit different. So it is where an object is to be large, for a reader to see it torn.
 *
 * At the end readers that are wrong on purpose show that the method finds what it looks for.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "interleave_fragments.h"
#include "interleave_words.h"
#include "store/age.h"
#include "store/device.h"
#include "store/device_internal.h"
#include "store/slot.h"
#include "support/cold_store.h"
#include "support/options.h"
#include "support/single_step.h"
#include "support/small_store.h"

#define NR_BLOCKS 6
#define TARGET	  2
/* How long the second thread may take before it is taken for blocked by a lock that the stopped one holds. */
#define BLOCKED_MSEC 5
/* The whole store is checked each so many rounds. */
#define CHECK_INTERVAL 64

enum operation {
	OPERATION_READ,
	OPERATION_WRITE,
	OPERATION_DISCARD,
	OPERATION_MODIFY,
	OPERATION_WRITE_BACK,
	OPERATION_PROMOTE,
	OPERATION_WRONG_READ,
	OPERATION_UNPINNED_READ,
};

/*
 * Every stride-th instruction: the time goes with the square of their number, and most belong to the loops that fill.
 * Instrumented code has up to ten times as many. The seed says which one is the first, so that each has its turn.
 */
static const struct scenario {
	const char *name;
	enum operation operation;
	unsigned int stride, sanitized_stride;
	bool compacts; /* the second thread does, and nothing else */
	bool is_raw;
} scenarios[] = {
	{"read", OPERATION_READ, 10, 600},
	{"write", OPERATION_WRITE, 14, 600},
	{"discard", OPERATION_DISCARD, 3, 150},
	{"modify", OPERATION_MODIFY, 40, 2000},
	{"write back", OPERATION_WRITE_BACK, 60, 3000, .is_raw = true},
	{"promote", OPERATION_PROMOTE, 60, 2000, .is_raw = true},
	{"read, compaction", OPERATION_READ, 10, 400, .compacts = true},
	{"read raw, compaction", OPERATION_READ, 10, 240, .compacts = true, .is_raw = true},
	{"write, compaction", OPERATION_WRITE, 14, 600, .compacts = true},
	{"discard, compaction", OPERATION_DISCARD, 3, 100, .compacts = true},
	{"modify, compaction", OPERATION_MODIFY, 20, 600, .compacts = true},
	{"wrong read", OPERATION_WRONG_READ, 1, 24},
	{"unpinned read, compaction", OPERATION_UNPINNED_READ, 1, 24, .compacts = true, .is_raw = true},
};

/* Shared by parent and child. */
struct shared {
	_Atomic uint64_t violations;
	_Atomic uint64_t seen_new; /* reads that saw what came in between */
	_Atomic uint64_t moved;	   /* by compaction: the target's object */
};

struct run {
	const struct scenario *scenario;
	struct shared *shared;
	int request[2]; /* pipe: parent to second thread, a byte a burst */
	int reply[2];	/* and back */
	uint64_t blocked;
	/* The child's. */
	struct zs_store *store;
	struct zs_device *device;
	struct fragments fragments;
	uint64_t buffer[BLOCK_WORDS];	  /* what the first thread writes, or reads */
	char path[TEST_PATH_BYTES];	  /* of the backing file */
	uint64_t step;			  /* from word to word of a block */
	uint64_t version;		  /* last one given out; the threads take turns */
	uint64_t burst_first, burst_last; /* versions of the target in the latest burst */
	uint64_t content[NR_BLOCKS];	  /* words of all blocks but the target, as they must be */
};

static uint64_t make_word(struct run *run, unsigned int block)
{
	/* Halves that differ, so that it does not fit into the slot. */
	return (uint64_t)(block + 1) << 56 | ++run->version;
}

static void write_word(struct run *run, struct zs_stream *stream, unsigned int block, uint64_t word)
{
	write_block(run->device, stream, block, word, run->step);
}

static uint64_t read_word(struct run *run, struct zs_stream *stream, unsigned int block)
{
	return read_block(run->device, stream, block, run->step);
}

/*
 * the second thread
 */

/* What the target is left as: in turn with an object and without. */
static uint64_t make_last_word(struct run *run)
{
	uint64_t word = make_word(run, TARGET);

	/* Equal halves fit into the slot. */
	return word & 1 ? (word & UINT32_MAX) | word << 32 : word;
}

static void burst(struct run *run, struct zs_stream *stream)
{
	uint64_t word = make_word(run, TARGET);

	run->burst_first = word;
	write_word(run, stream, TARGET, word);
	/* Now the handle and the place of the target's old object are free: for these. */
	for (unsigned int block = 0; block < NR_BLOCKS; block++) {
		if (block == TARGET)
			continue;
		run->content[block] = make_word(run, block);
		write_word(run, stream, block, run->content[block]);
	}
	word = make_last_word(run);
	write_word(run, stream, TARGET, word);
	run->burst_last = word;
}

static void *second_thread(void *argument)
{
	struct run *run = argument;
	struct zs_stream *stream;
	char byte;

	zs_assert(!zs_stream_create(1, &stream));
	while (read(run->request[0], &byte, 1) == 1) {
		if (run->scenario->compacts)
			run->shared->moved += fragments_close(&run->fragments, stream, run->device, TARGET);
		else
			burst(run, stream);
		zs_assert(write(run->reply[1], &byte, 1) == 1);
	}
	zs_stream_destroy(stream);
	return NULL;
}

/*
 * the first thread
 */

/* Reads as the store would without its second look at the slot, or without a pin. */
static void wrong_read(struct run *run, bool is_pinned)
{
	uint64_t slot = zs_table_load(&run->device->table, TARGET);
	struct zs_object object;

	run->buffer[0] = UINT64_MAX;
	if (zs_obj_read_begin(run->store->pool, zs_slot_handle(slot), &object))
		return;
	if (!is_pinned)
		zs_obj_read_end(run->store->pool, &object);
	memcpy(run->buffer, object.payload, object.info.size);
	if (is_pinned)
		zs_obj_read_end(run->store->pool, &object);
}

static bool is_cold(enum operation operation)
{
	return operation == OPERATION_WRITE_BACK || operation == OPERATION_PROMOTE;
}

static bool is_read(enum operation operation)
{
	return operation == OPERATION_READ || operation == OPERATION_PROMOTE || operation >= OPERATION_WRONG_READ;
}

static void write_back(struct run *run)
{
	struct zs_writeback_range range = {TARGET, TARGET};
	uint64_t id = zs_device_id(run->device);
	struct zs_writeback_request request = {.devices = &id, .nr_devices = 1, .ranges = &range, .nr_ranges = 1};
	struct zs_writeback_progress progress = {0};

	zs_assert(!zs_store_writeback(run->store, &request, &progress));
	atomic_fetch_add(&run->shared->seen_new, progress.replaced_blocks);
}

/* The steps: none of them is the test's own, which has filled the buffer before and looks into it afterwards. */
static void operate(struct run *run, struct zs_stream *stream)
{
	uint64_t start = (uint64_t)TARGET * BLOCK_SIZE;
	size_t done;

	switch (run->scenario->operation) {
	case OPERATION_READ:
	case OPERATION_PROMOTE:
		if (zs_device_read(run->device, stream, start, run->buffer, BLOCK_SIZE))
			run->buffer[0] = UINT64_MAX;
		return;
	case OPERATION_WRITE_BACK:
		write_back(run);
		return;
	case OPERATION_WRITE:
		zs_assert(!zs_device_write(run->device, stream, start, run->buffer, BLOCK_SIZE, &done));
		return;
	case OPERATION_DISCARD:
		zs_assert(!zs_device_discard(run->device, stream, start, BLOCK_SIZE));
		return;
	case OPERATION_MODIFY:
		/* What is there already, so that the block stays filled unless something comes in between. */
		zs_assert(!zs_device_write(run->device, stream, start, run->buffer, sizeof(run->buffer[0]), &done));
		return;
	default:
		wrong_read(run, run->scenario->operation == OPERATION_WRONG_READ);
	}
}

/* What operate() has read, or made of a block that was `before`; 0 is an empty one. */
static uint64_t outcome(const struct run *run, uint64_t before)
{
	switch (run->scenario->operation) {
	case OPERATION_DISCARD:
		return 0;
	case OPERATION_WRITE_BACK:
		return before;
	case OPERATION_WRONG_READ:
		/* The payload of a word that is repeated. */
		return run->buffer[0];
	default:
		return find_word(run->buffer, run->step);
	}
}

static void violated(struct run *run, const char *what, uint64_t word)
{
	if (run->scenario->operation < OPERATION_WRONG_READ)
		fprintf(stderr, "%s: %#" PRIx64 "; burst %#" PRIx64 " to %#" PRIx64 "\n", what, word, run->burst_first,
			run->burst_last);
	atomic_fetch_add(&run->shared->violations, 1);
}

/* What the first thread read must have been there at some time. */
static void judge_read(struct run *run, uint64_t before, uint64_t word)
{
	bool is_new = word == run->burst_first || word == run->burst_last;

	if (is_new)
		atomic_fetch_add(&run->shared->seen_new, 1);
	else if (word != before)
		violated(run, "read", word);
}

/* A modified block has its first word from the one or the other, and the rest from the burst: else that is lost. */
static void judge_modified(struct run *run, struct zs_stream *stream, uint64_t word)
{
	uint64_t buffer[BLOCK_WORDS], rest = run->burst_last ? run->burst_last : word;

	zs_assert(!zs_device_read(run->device, stream, (uint64_t)TARGET * BLOCK_SIZE, buffer, BLOCK_SIZE));
	if (buffer[1] != rest || memcmp(buffer + 1, buffer + 2, BLOCK_SIZE - 2 * sizeof(word)) != 0)
		violated(run, "the rest of the modified block", buffer[1]);
	if (buffer[0] != word && buffer[0] != run->burst_last)
		violated(run, "the modified word", buffer[0]);
	atomic_fetch_add(&run->shared->seen_new, buffer[0] != buffer[1]);
}

static bool stays(const struct run *run)
{
	return is_read(run->scenario->operation) || run->scenario->operation == OPERATION_WRITE_BACK;
}

/* The block must be what one of the two wrote last. */
static void judge_target(struct run *run, struct zs_stream *stream, uint64_t before, uint64_t word)
{
	uint64_t found = read_word(run, stream, TARGET);

	if (run->scenario->operation == OPERATION_MODIFY)
		judge_modified(run, stream, word);
	else if (stays(run) ? found != (run->burst_last ? run->burst_last : before)
			    : found != word && found != run->burst_last)
		violated(run, "the target", found);
}

/* The block must be what the first thread has read or made of it, as if nothing had happened. */
static void judge_unmoved(struct run *run, struct zs_stream *stream, uint64_t before, uint64_t word)
{
	uint64_t found = read_word(run, stream, TARGET);

	if (stays(run) && word != before)
		violated(run, "read", word);
	if (found != (stays(run) ? before : word))
		violated(run, "the target", found);
	if (!fragments_are_whole(&run->fragments, stream))
		violated(run, "an object around it", 0);
}

static void judge_others(struct run *run, struct zs_stream *stream)
{
	for (unsigned int block = 0; block < NR_BLOCKS; block++) {
		if (block != TARGET && read_word(run, stream, block) != run->content[block])
			violated(run, "another block", block);
	}
}

/* A known block, and a buffer for the operation. */
static uint64_t prepare(struct run *run, struct zs_stream *stream)
{
	uint64_t before = make_word(run, TARGET);
	bool modifies = run->scenario->operation == OPERATION_MODIFY;

	run->version++; /* before + 1 is the first thread's */
	if (run->scenario->compacts)
		fragments_fill(&run->fragments, stream);
	write_word(run, stream, TARGET, before);
	if (run->scenario->compacts)
		fragments_thin(&run->fragments, stream);
	if (run->scenario->operation == OPERATION_PROMOTE)
		write_back(run);
	fill_words(run->buffer, modifies ? before : before + 1, run->step);
	run->burst_first = run->burst_last = 0;
	/* So that a read has its access to note. */
	atomic_fetch_add(&zs_age_skew_sec, ZS_TICK_SEC);
	return before;
}

static void one_round(struct run *run, struct zs_stream *stream)
{
	uint64_t before = prepare(run, stream), word;
	char byte;

	single_step_begin();
	operate(run, stream);
	single_step_end();
	/* There was a burst in every round but the last, and it may be still going on. */
	if (!single_step_is_over())
		zs_assert(read(run->reply[0], &byte, 1) == 1);
	word = outcome(run, before);
	if (run->scenario->compacts) {
		judge_unmoved(run, stream, before, word);
	} else {
		if (is_read(run->scenario->operation))
			judge_read(run, before, word);
		judge_target(run, stream, before, word);
	}
	judge_others(run, stream);
}

static void child(void *context)
{
	struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1};
	struct run *run = context;
	struct zs_stream *stream;
	pthread_t thread;
	uint64_t id;

	run->store = test_store_create(0);
	run->step = run->scenario->is_raw ? RAW_STEP : 0;
	if (is_cold(run->scenario->operation)) {
		test_backing_attach(run->store, run->path, 0);
		zs_store_set_promotion(run->store, 1);
	}
	id = test_device_add(run->store, "device", NR_BLOCKS * BLOCK_SIZE, BLOCK_SIZE, lz4);
	zs_assert(!zs_stream_create(0, &stream));
	run->device = zs_device_get(run->store, id, stream);
	if (run->scenario->compacts)
		fragments_init(&run->fragments, run->store, stream, run->step);
	for (unsigned int block = 0; block < NR_BLOCKS; block++) {
		run->content[block] = make_word(run, block);
		write_word(run, stream, block, run->content[block]);
	}
	zs_assert(!pthread_create(&thread, NULL, second_thread, run));
	for (uint64_t round = 0; !single_step_is_over(); round++) {
		one_round(run, stream);
		if (round % CHECK_INTERVAL == 0)
			zs_store_check(run->store);
	}
	zs_store_check(run->store);
}

/*
 * the parent
 */

/* Asks for a burst, and waits until it is over or stands still at a lock. */
static void between(void *context)
{
	struct run *run = context;
	struct pollfd poll_fd = {.fd = run->reply[0], .events = POLLIN};
	char byte = 0;

	zs_assert(write(run->request[1], &byte, 1) == 1);
	if (poll(&poll_fd, 1, BLOCKED_MSEC) == 0)
		run->blocked++;
}

static void report(const struct run *run, uint64_t points)
{
	const struct shared *shared = run->shared;

	printf("%-25s %6" PRIu64 " points, %6" PRIu64 " saw the new block, %6" PRIu64 " moved, %4" PRIu64
	       " times blocked, %6" PRIu64 " violations\n",
	       run->scenario->name, points, shared->seen_new, shared->moved, run->blocked, shared->violations);
	fflush(stdout);
	zs_assert(points > (TEST_SANITIZED ? 5 : 20));
	/* Others move in each burst; this one stays as long as it is pinned. */
	zs_assert(!run->scenario->compacts || shared->moved);
	if (run->scenario->operation >= OPERATION_WRONG_READ)
		zs_assert_msg(shared->violations, "a reader that is wrong was not found out");
	else
		zs_assert(!shared->violations);
}

static void run_scenario(const struct scenario *scenario, uint64_t seed, struct shared *shared)
{
	struct run run = {.scenario = scenario, .shared = shared};
	uint64_t stride = TEST_SANITIZED ? scenario->sanitized_stride : scenario->stride;
	uint64_t points;

	*shared = (struct shared){0};
	if (is_cold(scenario->operation))
		test_backing_create(run.path);
	zs_assert(!pipe(run.request) && !pipe(run.reply));
	points = single_step_run_each(child, between, &run, 1 + seed % stride, stride);
	if (is_cold(scenario->operation))
		unlink(run.path);
	for (unsigned int i = 0; i < 2; i++) {
		close(run.request[i]);
		close(run.reply[i]);
	}
	report(&run, points);
}

int main(int argc, char **argv)
{
	struct test_options options = {0};
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	test_options_parse(&options, argc, argv);
	zs_assert(shared != MAP_FAILED);
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(scenarios); i++)
		run_scenario(&scenarios[i], options.seed, shared);
	munmap(shared, sizeof(*shared));
	return 0;
}
