#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One client of the control socket: bytes in, calls, replies out.
 *
 * Context: the control thread only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/list.h"
#include "ctl/wire.h"
#include "varlink.h"

/* The control socket gives way to signals and to whatever else the event loop watches. */
#define ZSD_CONTROL_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct zsd_service;

struct zsd_connection {
	struct zs_list link; /* in zsd_control.connections, for its owner; most recently used first */
	int fd;
	struct zsd_peer peer;
	struct zsd_service *service;
	sd_event_source *io;	 /* socket */
	sd_event_source *resume; /* runs once when calls are left for the next round of the loop */
	sd_event_source *timer;	 /* runs while something is half done */
	sd_event_source *news;	 /* runs while a call or half a message waits for what comes next */
	uint64_t used_usec;	 /* when the client last sent something; CLOCK_MONOTONIC */

	struct zs_frames frames; /* what came in */
	bool drained;		 /* no complete message is left in frames */
	unsigned int nr_pieces;	 /* in which the message has come that is half there */
	bool pause_due;		 /* they are too many */
	bool ended;		 /* the client sends no more */
	bool answering;		 /* call is valid */
	bool held;		 /* it is not begun before the client has read more */
	bool waiting;		 /* it has nothing to answer before news is due */
	struct zsd_call call;

	char *output;	     /* what goes out; reading stops while there is much of it */
	size_t output_begin; /* sent up to here */
	size_t output_end;
	size_t output_capacity;
	bool timing;	   /* timer runs */
	size_t timed_sent; /* bytes sent since the timer was set */

	uint64_t handled_bytes; /* received and answered */

	/* Called when the connection is of no more use: the owner unlinks and destroys it, perhaps at once. */
	void (*on_closed)(struct zsd_connection *connection, void *owner);
	/* Called when the client sent something. */
	void (*on_used)(struct zsd_connection *connection, void *owner);
	void *owner;
};

/*
 * Serves a connected socket. fd is consumed only on success; the callbacks and owner are the caller's to set before
 * anything can happen: *connection is made by calloc(3). Returns 0 or an errno.
 */
int zsd_connection_create(sd_event *event, int fd, const struct zsd_peer *peer, struct zsd_service *service,
			  struct zsd_connection **ret_connection);
void zsd_connection_destroy(struct zsd_connection *connection);

/* True if nothing is half done: no unsent reply, and either a call that waits for news or no part of one. */
bool zsd_connection_is_idle(const struct zsd_connection *connection);
