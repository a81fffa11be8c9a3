/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads over io_uring with a kernel in memory, and below them a real frontend with helpers, so that whatever a
 * request meets on its way is there: large ones are given to threads that sleep, small ones of foreign queues go home,
 * long discards take the slow lane, and big ones are done in parts.
 *
 *   clients   each with a stretch of the device that is its own, on any queue, against a model of its bytes
 *   turns     the whole is stopped under load and started again; commands fail now and then
 *   cold      the second half of the time there is less memory than data, and a backing file: waiters write and read it
 *
 * What was answered is true, what was not ends with ECONNABORTED, and nobody waits for ever.
 */

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "placement.h"
#include "support/cold_store.h"
#include "support/data.h"
#include "support/fake_rings.h"
#include "support/options.h"
#include "support/small_store.h"
#include "tasks.h"
#include "transport_uring.h"
#include "transport_uring_internal.h"

#define DEFAULT_SECONDS 10
#define NR_CLIENTS	9
#define NR_QUEUES	4
#define NR_THREADS	3
#define NR_CPUS		4
#define REQUEST_BYTES	((size_t)256 << 10)
#define USED_BYTES	(4 * REQUEST_BYTES)
/* Room for a discard that takes the slow lane. */
#define STRETCH_BYTES ((size_t)17 << 20)
#define DEVICE_BYTES  (NR_CLIENTS * STRETCH_BYTES)
#define BLOCK_BYTES   4096
#define TURN_MSEC     100
/* Where they are cold: much less than all of USED_BYTES. */
#define COLD_LIMIT_BYTES ((uint64_t)4 << 20)

struct world {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	struct zsd_tasks *tasks;
	bool is_cold;
	char backing[TEST_PATH_BYTES];
	uint64_t node;
	_Atomic bool stop;
	_Atomic uint64_t nr_done, nr_aborted;
	uint64_t nr_given, nr_home; /* between threads that are at home somewhere: large requests, and answers */
};

struct client {
	struct world *world;
	struct test_random random;
	pthread_t thread;
	uint64_t start; /* of its stretch */
	char *model;	/* of its first USED_BYTES; the rest is never written to */
	char *buffer;	/* REQUEST_BYTES */
};

/* Answers whether it was done; if not, nobody knows what is there. */
static bool call(struct client *client, struct fake_call *call)
{
	call->queue = (unsigned int)test_random_below(&client->random, NR_QUEUES);
	call->node = client->world->node;
	fake_rings_call(call);
	zs_assert_msg(!call->error || call->error == -ECONNABORTED, "errno %d of opcode %u", -call->error,
		      call->opcode);
	atomic_fetch_add(call->error ? &client->world->nr_aborted : &client->world->nr_done, 1);
	return !call->error;
}

static bool write_range(struct client *client, size_t offset, size_t length)
{
	const struct zsd_fuse_write_in in = {.offset = client->start + offset, .size = (uint32_t)length};
	struct zsd_fuse_write_out out = {0};
	struct fake_call request = {
		.opcode = ZSD_FUSE_WRITE,
		.argument = &in,
		.argument_length = sizeof(in),
		.payload = client->buffer,
		.payload_length = length,
		.output = &out,
		.output_capacity = sizeof(out),
	};

	test_data_make_any(&client->random, client->buffer, length);
	if (!call(client, &request))
		return false;
	zs_assert(out.size == length);
	memcpy(client->model + offset, client->buffer, length);
	return true;
}

static bool check_range(struct client *client, size_t offset, size_t length)
{
	const struct zsd_fuse_read_in in = {.offset = client->start + offset, .size = (uint32_t)length};
	struct fake_call request = {
		.opcode = ZSD_FUSE_READ,
		.argument = &in,
		.argument_length = sizeof(in),
		.output = client->buffer,
		.output_capacity = REQUEST_BYTES,
	};

	if (!call(client, &request))
		return false;
	zs_assert(request.output_length == length);
	zs_assert_msg(!memcmp(client->buffer, client->model + offset, length), "wrong bytes at %zu", offset);
	return true;
}

static bool discard_all(struct client *client)
{
	const struct zsd_fuse_fallocate_in in = {
		.offset = client->start,
		.length = STRETCH_BYTES,
		.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	};
	struct fake_call request = {.opcode = ZSD_FUSE_FALLOCATE, .argument = &in, .argument_length = sizeof(in)};

	if (!call(client, &request))
		return false;
	memset(client->model, 0, USED_BYTES);
	return true;
}

static bool step(struct client *client)
{
	size_t length = test_random_chance(&client->random, 20) ? REQUEST_BYTES : BLOCK_BYTES;
	size_t offset = test_random_below(&client->random, USED_BYTES - length + 1);

	if (test_random_chance(&client->random, 2))
		return discard_all(client);
	if (test_random_chance(&client->random, 40))
		return write_range(client, offset, length);
	return check_range(client, offset, length);
}

/* Until the connection ends. What was in flight then may have been done or not: it begins with an empty stretch. */
static void *run(void *argument)
{
	struct client *client = argument;

	while (!atomic_load(&client->world->stop)) {
		while (!discard_all(client)) {
			if (atomic_load(&client->world->stop))
				return NULL;
			usleep(1000);
		}
		while (step(client))
			continue;
	}
	return NULL;
}

static void start_clients(struct world *world, struct client *clients, uint64_t seed)
{
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		clients[i] = (struct client){
			.world = world,
			.random.state = seed + i,
			.start = i * STRETCH_BYTES,
			.model = calloc(1, USED_BYTES),
			.buffer = malloc(REQUEST_BYTES),
		};
		zs_assert(clients[i].model && clients[i].buffer);
		zs_assert(!pthread_create(&clients[i].thread, NULL, run, &clients[i]));
	}
}

/* A daemon's life, from start to stop. */
static void turn(struct world *world, struct zsd_placement *placement, int ended_fd, unsigned int number)
{
	const struct zsd_uring_options options = {
		.fuse_fd = fake_rings_fuse_fd(),
		.ended_fd = ended_fd,
		.ops = &zsd_store_frontend_ops,
		.frontend = world->frontend,
		.placement = placement,
		.may_wait = world->is_cold,
	};
	struct zsd_uring *uring;

	fake_rings_begin(NR_QUEUES);
	zs_assert(!zsd_uring_create(&options, &uring) && !zsd_uring_start(uring));
	fake_rings_fail(FAKE_COMMIT, -ENOMEM, 100, number % 3);
	fake_rings_fail(FAKE_MESSAGE, -ENOMEM, 10, number % 5);
	fake_rings_fail(FAKE_WAIT, -EAGAIN, 50, number % 4);
	usleep(1000 * (1 + number * 7 % TURN_MSEC));
	world->nr_given += fake_rings_nr_between_homes(ZSD_RING_SERVE);
	world->nr_home += fake_rings_nr_between_homes(ZSD_RING_COMMIT);
	zs_assert(!zsd_uring_has_failed(uring));
	zsd_uring_destroy(uring);
	fake_rings_abort();
}

static void create_world(struct world *world, bool is_cold)
{
	const struct zs_codec_params codec = {.codec = ZS_CODEC_LZ4, .level = 1};

	*world = (struct world){.is_cold = is_cold};
	world->store = test_store_create(is_cold ? COLD_LIMIT_BYTES : 0);
	zs_assert(!zs_store_start_maintenance(world->store));
	zs_assert(!zsd_tasks_create(world->store, &world->tasks));
	zs_assert(!zsd_frontend_create(world->store, &world->frontend));
	zs_assert(!zsd_frontend_start_helpers(world->frontend, NR_CPUS));
	if (is_cold) {
		test_backing_create(world->backing);
		test_backing_attach(world->store, world->backing, 0);
		zsd_frontend_set_backing(world->frontend, world->tasks);
	}
	world->node = zsd_frontend_node(test_device_add(world->store, "device", DEVICE_BYTES, BLOCK_BYTES, codec));
}

static void destroy_world(struct world *world)
{
	zsd_frontend_destroy(world->frontend);
	zsd_tasks_destroy(world->tasks);
	zs_store_flush(world->store);
	zs_store_check(world->store);
	zs_store_close(world->store);
	if (world->is_cold)
		unlink(world->backing);
}

/* Turns for that long. */
static void run_world(bool is_cold, uint64_t seconds, uint64_t seed)
{
	static struct client clients[NR_CLIENTS];
	static struct zsd_placement placement;
	static struct world world;
	int ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unsigned int nr_turns = 0;
	time_t end;

	create_world(&world, is_cold);
	zsd_placement_make(NR_QUEUES, NULL, NR_THREADS, &placement);
	/* Nobody is there yet. */
	fake_rings_begin(NR_QUEUES);
	fake_rings_abort();
	start_clients(&world, clients, seed);
	end = time(NULL) + (time_t)seconds;
	for (; time(NULL) < end; nr_turns++)
		turn(&world, &placement, ended_fd, nr_turns);
	atomic_store(&world.stop, true);
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		zs_assert(!pthread_join(clients[i].thread, NULL));
		free(clients[i].model);
		free(clients[i].buffer);
	}
	printf("%u turns%s, %" PRIu64 " requests, %" PRIu64 " aborted, %" PRIu64 " given away, %" PRIu64
	       " answers sent home\n",
	       nr_turns, is_cold ? " with a backing file" : "", world.nr_done, world.nr_aborted, world.nr_given,
	       world.nr_home);
	zs_assert(world.nr_done && world.nr_aborted && world.nr_given && world.nr_home);
	destroy_world(&world);
	close(ended_fd);
}

int main(int argc, char **argv)
{
	struct test_options options = {.seconds = DEFAULT_SECONDS};

	test_options_parse(&options, argc, argv);
	run_world(false, (options.seconds + 1) / 2, options.seed);
	run_world(true, (options.seconds + 1) / 2, options.seed);
	return 0;
}
