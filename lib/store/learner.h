#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A learner: a dictionary is learnt by a thread of its own. That takes seconds and can't be interrupted, so nobody has
 * to wait for the end: whoever loses interest ends the learner, and the thread throws away what it has when it is done.
 *
 * Context: one thread at a time; it is not the learner's.
 */

#include <stddef.h>
#include <stdint.h>

struct zs_learner;

/* Memory of malloc(3), which belongs to the learner from its start on. */
struct zs_lesson {
	char *samples; /* [nr_samples] of sample_bytes each */
	size_t sample_bytes;
	unsigned int nr_samples;
	char *content; /* of the dictionary, capacity bytes at most */
	size_t capacity;
};

/*
 * Returns 0, -ENOMEM, -EAGAIN (no thread) or -EALREADY (one that was ended before it was done goes on still); nothing
 * was taken over then.
 */
int zs_learner_start(const struct zs_lesson *lesson, struct zs_learner **ret_learner);

/*
 * Waits until then at most, nanoseconds of CLOCK_MONOTONIC. Returns -EINPROGRESS, or what zs_dictionary_train() has
 * answered; if that is 0, the content, which belongs to the caller, and its size.
 */
int zs_learner_wait(struct zs_learner *learner, uint64_t until_nsec, char **ret_content, size_t *ret_size);

/* Never waits. NULL is allowed. */
void zs_learner_end(struct zs_learner *learner);
