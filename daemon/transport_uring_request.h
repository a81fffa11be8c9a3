#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The request in an entry, and its answer. Context: the thread that has the entry. */

#include <stdbool.h>

struct zsd_fuse_server;
struct zsd_ring;
struct zsd_ring_entry;

/* Whether it is worth waking another thread for. */
bool zsd_ring_is_large(const struct zsd_ring_entry *entry);

/* How much work it is: 1 if it is small, more with its length. */
unsigned int zsd_ring_work(const struct zsd_ring_entry *entry);

/* Whether it takes so long that no other request is to wait behind it. */
bool zsd_ring_is_long(const struct zsd_ring_entry *entry);

/*
 * Serves the request; afterwards the entry has the answer. False: it has to be answered by the function below, since it
 * has to wait.
 */
bool zsd_ring_answer(struct zsd_ring *ring, struct zsd_ring_entry *entry);

/* Goes on with a request that has to wait, by a server whose thread may. */
void zsd_ring_answer_waiting(const struct zsd_fuse_server *server, struct zsd_ring_entry *entry);
