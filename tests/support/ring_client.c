/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients of the fake kernel. */

#include "support/ring_client.h"

#include <linux/falloc.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

static struct ring_client *prepare(struct ring_client *client, unsigned int queue, uint32_t opcode,
				   size_t argument_length)
{
	client->call = (struct fake_call){
		.queue = queue,
		.opcode = opcode,
		.node = RING_CLIENT_NODE,
		.argument = &client->read,
		.argument_length = argument_length,
		.output = client->buffer,
		.output_capacity = sizeof(client->buffer),
		.error = 4711,
	};
	return client;
}

struct ring_client *ring_client_prepare_read(struct ring_client *client, unsigned int queue, uint64_t offset,
					     uint32_t size)
{
	client->read = (struct zsd_fuse_read_in){.offset = offset, .size = size};
	return prepare(client, queue, ZSD_FUSE_READ, sizeof(client->read));
}

struct ring_client *ring_client_prepare_discard(struct ring_client *client, unsigned int queue, uint64_t length)
{
	client->fallocate = (struct zsd_fuse_fallocate_in){
		.length = length,
		.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	};
	return prepare(client, queue, ZSD_FUSE_FALLOCATE, sizeof(client->fallocate));
}

static void *run_client(void *argument)
{
	struct ring_client *client = argument;

	fake_rings_call(&client->call);
	return NULL;
}

void ring_client_start(struct ring_client *client)
{
	zs_assert(!pthread_create(&client->thread, NULL, run_client, client));
}

void ring_client_start_brought(struct ring_client *client)
{
	unsigned int nr = fake_rings_nr_brought();

	ring_client_start(client);
	for (unsigned int i = 0; i < RING_CLIENT_PATIENCE_MSEC && fake_rings_nr_brought() == nr; i++)
		usleep(1000);
	zs_assert(fake_rings_nr_brought() == nr + 1);
}

int ring_client_join(struct ring_client *client)
{
	zs_assert(!pthread_join(client->thread, NULL));
	return client->call.error;
}

void ring_client_check_read(unsigned int queue, uint64_t offset, uint32_t size, const void *expected)
{
	static struct ring_client client;

	fake_rings_call(&ring_client_prepare_read(&client, queue, offset, size)->call);
	zs_assert(!client.call.error && client.call.output_length == size);
	zs_assert(!memcmp(client.buffer, expected, size));
}

bool ring_client_has_ended(int ended_fd, int msec)
{
	struct pollfd ended = {.fd = ended_fd, .events = POLLIN};

	return poll(&ended, 1, msec) == 1;
}

void ring_client_wait_until(const _Atomic unsigned int *counter, unsigned int value)
{
	for (unsigned int i = 0; i < RING_CLIENT_PATIENCE_MSEC && *counter != value; i++)
		usleep(1000);
	zs_assert_msg(*counter == value, "it is %u, not %u", *counter, value);
}

void ring_client_wait_for_answers(uint64_t nr)
{
	for (unsigned int i = 0; i < RING_CLIENT_PATIENCE_MSEC && fake_rings_nr_answers() < nr; i++)
		usleep(1000);
	zs_assert(fake_rings_nr_answers() == nr);
}
