/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A learner.
 *
 *   state      next        by
 *   LEARNING   DONE        the thread, which ends
 *   LEARNING   LEFT        its owner, who knows it no longer
 *   DONE       -           freed by its owner
 *   LEFT       -           freed by the thread, when it is done
 *
 * Of those that were left there is one at most: while it lasts no other one is started, since each takes some 10 MiB of
 * memory and a CPU for seconds.
 */

#include "store/learner.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include "codec/dictionary.h"

enum learner_state { LEARNING, DONE, LEFT };

struct zs_learner {
	pthread_mutex_t lock; /* a leaf; guards the state */
	pthread_cond_t done;
	enum learner_state state;
	struct zs_lesson lesson; /* the thread's while LEARNING or LEFT, like the next two */
	size_t size;		 /* of the content */
	int error;
};

/* Learners that are LEFT; nothing else is told by it. */
static _Atomic unsigned int nr_left;

static void destroy(struct zs_learner *learner)
{
	pthread_cond_destroy(&learner->done);
	pthread_mutex_destroy(&learner->lock);
	free(learner->lesson.samples);
	free(learner->lesson.content);
	free(learner);
}

static void *learn(void *argument)
{
	struct zs_learner *learner = argument;
	const struct zs_lesson *lesson = &learner->lesson;
	bool is_left;

	zs_thread_set_background();
	learner->error = zs_dictionary_train(lesson->samples, lesson->sample_bytes, lesson->nr_samples, lesson->content,
					     lesson->capacity, &learner->size);
	pthread_mutex_lock(&learner->lock);
	is_left = learner->state == LEFT;
	learner->state = DONE;
	pthread_cond_signal(&learner->done);
	pthread_mutex_unlock(&learner->lock);
	if (!is_left)
		return NULL;
	destroy(learner);
	atomic_fetch_sub(&nr_left, 1);
	return NULL;
}

static int start_thread(struct zs_learner *learner)
{
	pthread_t thread;
	int r = zs_fault() ? EAGAIN : pthread_create(&thread, NULL, learn, learner);

	if (r)
		return -r;
	pthread_setname_np(thread, "zsd-learn");
	pthread_detach(thread);
	return 0;
}

int zs_learner_start(const struct zs_lesson *lesson, struct zs_learner **ret_learner)
{
	struct zs_learner *learner = NULL;
	pthread_condattr_t attributes;
	int r;

	if (atomic_load(&nr_left))
		return -EALREADY;
	learner = zs_calloc(1, sizeof(*learner));
	if (!learner)
		return -ENOMEM;
	pthread_mutex_init(&learner->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&learner->done, &attributes);
	pthread_condattr_destroy(&attributes);
	learner->lesson = *lesson;
	r = start_thread(learner);
	if (r) {
		learner->lesson = (struct zs_lesson){0};
		destroy(learner);
		return r;
	}
	*ret_learner = learner;
	return 0;
}

int zs_learner_wait(struct zs_learner *learner, uint64_t until_nsec, char **ret_content, size_t *ret_size)
{
	const struct timespec until = {.tv_sec = (time_t)(until_nsec / 1000000000),
				       .tv_nsec = (long)(until_nsec % 1000000000)};
	bool is_done;
	int r = 0;

	pthread_mutex_lock(&learner->lock);
	while (learner->state == LEARNING && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&learner->done, &learner->lock, &until);
	is_done = learner->state == DONE;
	pthread_mutex_unlock(&learner->lock);
	if (!is_done)
		return -EINPROGRESS;
	if (learner->error)
		return learner->error;
	*ret_content = zs_take(learner->lesson.content);
	*ret_size = learner->size;
	return 0;
}

void zs_learner_end(struct zs_learner *learner)
{
	bool is_done;

	if (!learner)
		return;
	pthread_mutex_lock(&learner->lock);
	is_done = learner->state == DONE;
	learner->state = is_done ? DONE : LEFT;
	atomic_fetch_add(&nr_left, !is_done);
	pthread_mutex_unlock(&learner->lock);
	if (is_done)
		destroy(learner);
}
