#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rates are differences of two samples of the daemon's counters. With one sample only they are about the time since
 * each device was made; so are those of a device that is new, or has replaced one of the same name.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cmd.h"

struct zs_client;

#define ZSCTL_NR_OPERATIONS 3
/* "read", "write", "discard" */
extern const char *const zsctl_operations[ZSCTL_NR_OPERATIONS];

/* All zero: no sample. */
struct zsctl_sample {
	json_t *devices;       /* as Stats answers them; what has not changed is shared with the sample before */
	json_t *latencies;     /* as Latencies answers them; NULL if nobody asked */
	uint64_t taken_usec;   /* Unix time: devices say so, too */
	json_int_t nr_devices; /* that the daemon had */
	json_int_t generation; /* of devices, and of latencies, as the daemon counts them */
	json_int_t latencies_generation;
};

/*
 * Of all devices, or of those that are named. what is attempted, for messages. Of all devices only those are asked for
 * that have changed since the sample before, which is all zero if there was none.
 */
enum zsctl_exit zsctl_take_sample(struct zs_client *client, const char *what, char *const *names, size_t nr_names,
				  bool with_latencies, const struct zsctl_sample *before,
				  struct zsctl_sample *ret_sample);
void zsctl_sample_deinit(struct zsctl_sample *sample);

#define CLEANUP_SAMPLE ZS_CLEANUP(zsctl_sample_deinit)

/* The rows of iostat, one for each device of now, or for those that had something to do: a new array, or NULL. */
json_t *zsctl_rates(const struct zsctl_sample *before, const struct zsctl_sample *now, bool active_only);

/*
 * The device of this name, or NULL; borrowed. devices may be NULL. It is looked for from where it probably is on:
 * samples have the same order as long as no device comes or goes.
 */
const json_t *zsctl_find_named(const json_t *devices, size_t place, const json_t *like);
/* The same, unless another device has the name by now. */
const json_t *zsctl_find_before(const json_t *devices, size_t place, const json_t *device);
