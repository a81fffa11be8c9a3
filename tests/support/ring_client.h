#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who asks the fake kernel of fake_rings.h for something, and waits for the answer in a thread of its own. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "support/fake_rings.h"

/* The one file that there is. */
#define RING_CLIENT_NODE 7
/* For what must come; a busy machine may take long. */
#define RING_CLIENT_PATIENCE_MSEC 60000

struct ring_client {
	struct fake_call call;
	union {
		struct zsd_fuse_read_in read;
		struct zsd_fuse_write_in write;
		struct zsd_fuse_fallocate_in fallocate;
	};
	char buffer[1 << 20];
	pthread_t thread;
};

/* Both answer the client. */
struct ring_client *ring_client_prepare_read(struct ring_client *client, unsigned int queue, uint64_t offset,
					     uint32_t size);
struct ring_client *ring_client_prepare_discard(struct ring_client *client, unsigned int queue, uint64_t length);

/* Asks for what was prepared; join answers what came of it, 0 or -errno. */
void ring_client_start(struct ring_client *client);
int ring_client_join(struct ring_client *client);
/* The same as start, and asserts that an entry brings the request, before it returns. Nobody else may ask meanwhile. */
void ring_client_start_brought(struct ring_client *client);

/* Reads, and asserts that the answer is what there should be. */
void ring_client_check_read(unsigned int queue, uint64_t offset, uint32_t size, const void *expected);

/* Whether an eventfd can be read within that time; it is not read. */
bool ring_client_has_ended(int ended_fd, int msec);
/* Asserts that the counter gets there. */
void ring_client_wait_until(const _Atomic unsigned int *counter, unsigned int value);
/* Asserts that so many answers have been taken, some time. */
void ring_client_wait_for_answers(uint64_t nr);
