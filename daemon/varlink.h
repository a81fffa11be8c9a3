#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every Varlink service does, whatever its interfaces are: find the method, refuse who may not call it, check the
 * parameters against the method's table, and answer org.varlink.service. The methods of io.zsd.control are in
 * command.h. Nothing here knows a socket.
 *
 * A call is answered in steps, one reply each or a part of one, so that a list of thousands of devices is made as fast
 * as its reader takes it, and other clients have their turn in between.
 *
 * Context: the control thread only.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/wire.h"

struct zsd_call;
struct zsd_service;

/* Who calls, as the kernel knew it when the connection was made. */
struct zsd_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool may_change; /* uid 0, the daemon's uid, or in the group that controls it */
	bool metrics;	 /* connected where there are only metrics to be had */
};

enum zsd_parameter_type {
	ZSD_PARAMETER_STRING,
	ZSD_PARAMETER_INT,
	ZSD_PARAMETER_BOOL,
	ZSD_PARAMETER_MAP, /* an object whose values are strings */
};

struct zsd_parameter {
	const char *name; /* NULL ends a table */
	enum zsd_parameter_type type;
	bool required;
};

struct zsd_answer {
	const char *error;  /* a string constant, or NULL */
	json_t *parameters; /* owned by the answer; of the error if there is one; may be NULL */
	bool continues;	    /* the method is to be run again for the next reply */
	/* Not 0: there is no reply now, and the method is to be run again after this time. continues is set. */
	uint64_t wait_usec;
	/* There is no reply yet, and the method is to be run again when others had their turn. continues is set. */
	bool works;
};

struct zsd_method {
	const char *name; /* without the interface; NULL ends a table */
	bool changes;	  /* needs zsd_peer.may_change */
	struct zsd_parameter parameters[12];

	/*
	 * Answers the call, or its next reply. The parameters are of the table's types, and the required ones are
	 * there. Returns 0 or -ENOMEM.
	 */
	int (*run)(struct zsd_call *call, struct zsd_answer *ret_answer);
};

/* A call that was taken up and not answered for the last time yet. */
struct zsd_call {
	struct zs_wire_call wire; /* owned */
	struct zsd_service *service;
	const struct zsd_peer *peer;
	const struct zsd_method *method; /* NULL: the first step refuses the call */
	unsigned int cursor;		 /* the method's own; 0 at the first step */
	json_t *carried;		 /* the method's own, from one step to the next; owned */
	uint64_t generation;		 /* the method's own, see changes.h */
};

/* Takes wire over. service and peer are borrowed for the life of the call. */
void zsd_call_init(struct zsd_call *call, struct zs_wire_call *wire, struct zsd_service *service,
		   const struct zsd_peer *peer);
void zsd_call_deinit(struct zsd_call *call);

/* The next reply; give its parameters to json_decref(). Returns 0 or -ENOMEM (the connection is of no use then). */
int zsd_call_step(struct zsd_call *call, struct zsd_answer *ret_answer);

/* Parameters of a call; the fallback is for absent and null. */

const char *zsd_call_string(const struct zsd_call *call, const char *name);
json_int_t zsd_call_int(const struct zsd_call *call, const char *name, json_int_t fallback);
bool zsd_call_bool(const struct zsd_call *call, const char *name);
