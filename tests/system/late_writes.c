/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that are killed while they write to their backing file, on a disk whose writes are over only long after
 * that: late_writes DISK STATUS ROUNDS SEED, see late_disk.c.
 *
 * In each round a process opens the arena that the one before it has left, reads all blocks, and then changes some,
 * writes back and collects, until it is killed. Parent and children share a model: which version of a block was being
 * written, and which one was written last. A block must be the one or the other, in each process, whatever comes late.
 *
 * The lock of the backing file lasts as long as what is in flight; so with it, all is over before the next process has
 * the file. Every second process drops it: then the next one is there too early, and nothing but the quarantine of
 * segments keeps what comes late away from what is new. Its minute is over as soon as the disk has released the file of
 * those who were killed. Where the disk is a loop device's, or a file system's, it has one user all the time, and the
 * quarantine no minute: then it is the claim of the device, or the file system's barrier, that has to do.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "late_disk.h"

#include "base/bits.h"
#include "base/check.h"
#include "codec/stream.h"
#include "store/backing_internal.h"
#include "store/cold.h"
#include "store/device.h"
#include "store/writeback.h"
#include "support/data.h"
#include "support/small_store.h"

#define BLOCK_SIZE  4096
#define NR_BLOCKS   1024
#define NR_HOT	    256
#define FILE_BYTES  ((uint64_t)16 << 20)
#define CHANGE_USEC 100
#define RUN_USEC    60000
/* So many are not killed at any time, but in the middle of a write. */
#define LATE_PERCENT 75
#define MINUTE_NSEC  UINT64_C(61000000000)
/* For what must come; a busy machine may take long. Attaching waits by itself for the dead, some seconds each time. */
#define PATIENCE_MSEC 60000
#define ATTACH_TRIES  20

/* Parent's and children's. */
struct shared {
	_Atomic uint64_t begun[NR_BLOCKS], done[NR_BLOCKS]; /* versions */
	_Atomic bool is_verified;
	/* Of all processes, when they had opened the store; the last one, of processes. */
	_Atomic uint64_t nr_backed, nr_quarantined, nr_too_early;
};

struct rig {
	const char *path;
	bool is_device; /* a block device: its claim can't be dropped */
	bool is_ours;	/* nobody but the children writes to the disk: no file system does */
	const struct late_disk *disk;
	struct shared *shared;
	int arena_fd;
	uint64_t seed;
	unsigned int round;
	bool was_alone; /* the child before this one, when it was killed: what is late is of that one */
	/* The child's. */
	struct zs_store *store;
	struct zs_device *device;
};

static bool drops_lock(const struct rig *rig, unsigned int round)
{
	return !rig->is_device && round % 2;
}

/* So many processes have the file, dead ones included. */
static uint64_t nr_users(const struct rig *rig)
{
	uint64_t releases = atomic_load(&rig->disk->releases);

	return atomic_load(&rig->disk->opens) - releases;
}

static bool is_busy(const struct rig *rig)
{
	uint64_t written = atomic_load(&rig->disk->written);

	return atomic_load(&rig->disk->begun) != written;
}

/*
 * content
 */

/* By version; the first one is nothing. */
static const enum test_data kinds[] = {TEST_DATA_ZERO,	 TEST_DATA_NOISE, TEST_DATA_TEXT, TEST_DATA_MIXED,
				       TEST_DATA_ALMOST, TEST_DATA_FILL,  TEST_DATA_NOISE};

static enum test_data kind_of(uint64_t version)
{
	return kinds[version % ZS_ARRAY_SIZE(kinds)];
}

static void make_content(uint64_t block, uint64_t version, void *buffer)
{
	struct test_random random = {block << 32 | version};

	test_data_make(kind_of(version), &random, buffer, BLOCK_SIZE);
}

static bool is_version(uint64_t block, uint64_t version, const void *found)
{
	char expected[BLOCK_SIZE];

	make_content(block, version, expected);
	return !memcmp(expected, found, BLOCK_SIZE);
}

static void check_block(struct rig *rig, struct zs_stream *stream, uint64_t block)
{
	uint64_t begun = atomic_load(&rig->shared->begun[block]), done = atomic_load(&rig->shared->done[block]);
	char found[BLOCK_SIZE];
	int error = zs_device_read(rig->device, stream, block * BLOCK_SIZE, found, BLOCK_SIZE);

	zs_assert_msg(!error, "round %u: block %" PRIu64 ": %s", rig->round, block, strerror(-error));
	if (is_version(block, begun, found))
		done = begun;
	else
		zs_assert_msg(is_version(block, done, found),
			      "round %u: block %" PRIu64 " is none of %" PRIu64 " and %" PRIu64, rig->round, block,
			      done, begun);
	atomic_store(&rig->shared->begun[block], done);
	atomic_store(&rig->shared->done[block], done);
}

static void change_block(struct rig *rig, struct zs_stream *stream, uint64_t block)
{
	uint64_t version = atomic_load(&rig->shared->done[block]) + 1;
	char content[BLOCK_SIZE];
	size_t done;

	make_content(block, version, content);
	atomic_store(&rig->shared->begun[block], version);
	if (kind_of(version) == TEST_DATA_ZERO)
		zs_assert(!zs_device_discard(rig->device, stream, block * BLOCK_SIZE, BLOCK_SIZE));
	else
		zs_assert(!zs_device_write(rig->device, stream, block * BLOCK_SIZE, content, BLOCK_SIZE, &done));
	atomic_store(&rig->shared->done[block], version);
}

/*
 * a child
 */

static uint64_t now_ns(void *context)
{
	const struct rig *rig = context;
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (nr_users(rig) == 1 ? MINUTE_NSEC : 0);
}

static void drop_lock(struct rig *rig)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	zs_assert(!fcntl(zs_store_backing(rig->store)->file.fd, F_OFD_SETLK, &lock));
}

static void attach(struct rig *rig)
{
	struct zs_backing_options options = {
		.path = rig->path, .size_bytes = FILE_BYTES, .segment_bytes = ZS_SEGMENT_MIN_BYTES};
	int error = -EBUSY;

	for (unsigned int i = 0; error == -EBUSY && i < ATTACH_TRIES; i++)
		error = zs_store_attach_backing(rig->store, &options, NULL);
	zs_assert_msg(!error, "%s: %s", rig->path, strerror(-error));
}

/* Nobody has written yet: what is not over is late. */
static void note_late(struct rig *rig)
{
	if (!rig->is_ours || !is_busy(rig))
		return;
	atomic_fetch_add(&rig->shared->nr_too_early, 1);
	zs_assert_msg(!rig->was_alone || drops_lock(rig, rig->round - 1), "round %u: the lock was free too early",
		      rig->round);
}

/* What the one before has left. */
static void open_store(struct rig *rig, struct zs_stream *stream, const struct zs_backing_faults *faults)
{
	struct zs_store_options options = {0};
	struct zs_backing_stats stats;
	uint64_t id, backed, bytes;

	zs_assert(!zs_store_open(rig->arena_fd, &options, &rig->store));
	attach(rig);
	note_late(rig);
	if (drops_lock(rig, rig->round))
		drop_lock(rig);
	zs_store_backed(rig->store, &backed, &bytes);
	atomic_fetch_add(&rig->shared->nr_backed, backed);
	zs_backing_stats(zs_store_backing(rig->store), &stats);
	atomic_fetch_add(&rig->shared->nr_quarantined, stats.quarantined_segments);
	zs_backing_set_faults(zs_store_backing(rig->store), faults);
	zs_store_set_promotion(rig->store, 0);
	zs_assert(!zs_store_find(rig->store, "device", &id));
	rig->device = zs_device_get(rig->store, id, stream);
	zs_assert(rig->device);
}

/* Some blocks are changed often, and some are cold. */
static void *change_blocks(void *argument)
{
	struct rig *rig = argument;
	struct test_random random = {rig->seed + rig->round};
	struct zs_stream *stream;

	zs_assert(!zs_stream_create(1, &stream));
	for (;;) {
		uint64_t block = test_random_below(&random, test_random_chance(&random, 90) ? NR_HOT : NR_BLOCKS);

		if (test_random_chance(&random, 30))
			check_block(rig, stream, block);
		else
			change_block(rig, stream, block);
		usleep(CHANGE_USEC);
	}
	return NULL;
}

static void write_back(struct rig *rig)
{
	struct zs_writeback_request request = {.type = ZS_WRITEBACK_ALL};
	struct zs_writeback_progress progress = {0};
	int error = zs_store_writeback(rig->store, &request, &progress);

	zs_assert_msg(!error || error == -ENOSPC, "writing back: %s", strerror(-error));
	error = zs_store_collect(rig->store, 50, 2);
	zs_assert_msg(error >= 0 || error == -ENOSPC, "collecting: %s", strerror(-error));
	zs_store_tidy(rig->store);
}

/* Ends only by being killed, or in the last round. */
static void run_child(struct rig *rig, bool is_last)
{
	const struct zs_backing_faults faults = {.now_ns = now_ns, .context = rig};
	struct zs_stream *stream;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	zs_assert(!zs_stream_create(0, &stream));
	open_store(rig, stream, &faults);
	for (uint64_t block = 0; block < NR_BLOCKS; block++)
		check_block(rig, stream, block);
	/* The first one leaves something in the file, whenever it is killed. */
	for (uint64_t block = 0; !rig->round && block < NR_BLOCKS; block++)
		change_block(rig, stream, block);
	if (!rig->round)
		write_back(rig);
	if (is_last) {
		zs_device_put(rig->device, stream);
		zs_store_check(rig->store);
		zs_store_close(rig->store);
		zs_stream_destroy(stream);
		_exit(0);
	}
	zs_assert(!pthread_create(&thread, NULL, change_blocks, rig));
	atomic_store(&rig->shared->is_verified, true);
	for (;;)
		write_back(rig);
}

/*
 * the parent
 */

static void make_store(struct rig *rig)
{
	struct zs_codec_params lz4 = {.codec = ZS_CODEC_LZ4, .level = 1};
	struct zs_store *store = test_store_create(0);

	test_device_add(store, "device", (uint64_t)NR_BLOCKS * BLOCK_SIZE, BLOCK_SIZE, lz4);
	rig->arena_fd = dup(zs_store_fd(store));
	zs_store_close(store);
}

static pid_t start_child(struct rig *rig, bool is_last)
{
	pid_t pid;

	atomic_store(&rig->shared->is_verified, false);
	pid = fork();
	zs_assert(pid >= 0);
	if (!pid)
		run_child(rig, is_last);
	return pid;
}

static void wait_until_verified(const struct rig *rig, pid_t pid)
{
	for (unsigned int i = 0; i < PATIENCE_MSEC && !atomic_load(&rig->shared->is_verified); i++) {
		zs_assert_msg(!waitpid(pid, NULL, WNOHANG), "round %u: the process has ended", rig->round);
		usleep(1000);
	}
	zs_assert(atomic_load(&rig->shared->is_verified));
}

/* Until a write has not been over for a while: it will take longer still. */
static void wait_for_late_write(const struct rig *rig)
{
	for (unsigned int i = 0; i < PATIENCE_MSEC; i++) {
		uint64_t begun = atomic_load(&rig->disk->begun);

		usleep(1000);
		if (atomic_load(&rig->disk->written) < begun)
			return;
	}
}

/* True if it has left writes that were not over. */
static bool kill_child(struct rig *rig, pid_t pid, struct test_random *random)
{
	int status;

	wait_until_verified(rig, pid);
	usleep((useconds_t)test_random_below(random, RUN_USEC));
	if (test_random_chance(random, LATE_PERCENT))
		wait_for_late_write(rig);
	rig->was_alone = nr_users(rig) == 1;
	kill(pid, SIGKILL);
	zs_assert(waitpid(pid, &status, 0) == pid);
	zs_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "round %u: status %#x", rig->round, status);
	return is_busy(rig);
}

static void end_last_child(struct rig *rig)
{
	pid_t pid = start_child(rig, true);
	int status;

	zs_assert(waitpid(pid, &status, 0) == pid);
	zs_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the last process ended with status %#x", status);
}

/* Nothing comes late for who uses the disk next. */
static void wait_until_over(const struct rig *rig)
{
	for (unsigned int i = 0; i < PATIENCE_MSEC && is_busy(rig); i++)
		usleep(1000);
}

static void *map(int fd, size_t size, int protection)
{
	void *bytes = mmap(NULL, size, protection, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	zs_assert(bytes != MAP_FAILED);
	return bytes;
}

int main(int argc, char **argv)
{
	struct stat status;
	struct statfs system;
	unsigned int nr_rounds = argc == 5 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0, nr_late = 0;
	struct test_random random;
	struct rig rig = {0};

	if (!nr_rounds) {
		fputs("usage: late_writes DISK STATUS ROUNDS SEED\n", stderr);
		return 2;
	}
	rig.path = argv[1];
	zs_assert(!stat(rig.path, &status) && !statfs(rig.path, &system));
	rig.is_device = S_ISBLK(status.st_mode);
	rig.is_ours = rig.is_device || system.f_type == FUSE_SUPER_MAGIC;
	rig.seed = random.state = strtoull(argv[4], NULL, 10);
	rig.disk = map(open(argv[2], O_RDONLY | O_CLOEXEC), sizeof(*rig.disk), PROT_READ);
	rig.shared = map(-1, sizeof(*rig.shared), PROT_READ | PROT_WRITE);
	make_store(&rig);
	for (rig.round = 0; rig.round < nr_rounds; rig.round++)
		nr_late += kill_child(&rig, start_child(&rig, false), &random);
	end_last_child(&rig);
	wait_until_over(&rig);
	printf("%u kills, %u with writes under way, after %" PRIu64
	       " of which the next process was there before their end\n",
	       nr_rounds, nr_late, rig.shared->nr_too_early);
	printf("%" PRIu64 " blocks found in the file, %" PRIu64 " segments in quarantine\n", rig.shared->nr_backed,
	       rig.shared->nr_quarantined);
	zs_assert(nr_late && rig.shared->nr_backed);
	return 0;
}
