/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD: io_uring that fails. The environment says how, each as a number, 1 being the first:
 *
 *   BREAK_SETUP     this ring can't be made, for lack of memory
 *   BREAK_THREAD    this thread after the first ring can't be started
 *   BREAK_REGISTER  this entry and all after it are refused, as by a security module
 *   BREAK_WAIT      from this call on nobody can wait for completions
 *   BREAK_COMMIT    each one that is a multiple of it has its answer not taken, for lack of memory
 *   BREAK_COMMITS   from this one on no answer is taken, as a security module would refuse it
 */

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* Of enum fuse_uring_cmd. */
#define REGISTER	 1
#define COMMIT_AND_FETCH 2
#define INJECT_RESULT	 1 /* IORING_NOP_INJECT_RESULT, since 6.10 */

static _Atomic unsigned long nr_setups, nr_threads, nr_waits, nr_registers, nr_commits;

static unsigned long limit(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : 0;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

EXPORT int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring, struct io_uring_params *params)
{
	int (*real)(unsigned int, struct io_uring *, struct io_uring_params *);

	if (++nr_setups == limit("BREAK_SETUP"))
		return -ENOMEM;
	*(void **)&real = next(__func__);
	return real(entries, ring, params);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
			  void *argument)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (nr_setups && ++nr_threads == limit("BREAK_THREAD"))
		return EAGAIN;
	*(void **)&real = next(__func__);
	return real(thread, attributes, function, argument);
}

/* Makes it a command that does nothing, and ends so. */
static void replace(struct io_uring_sqe *sqe, int error)
{
	uint64_t data = sqe->user_data;

	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_NOP;
	sqe->rw_flags = INJECT_RESULT;
	sqe->len = (unsigned int)error;
	sqe->user_data = data;
}

static void look_at_register(struct io_uring_sqe *sqe)
{
	unsigned long first = limit("BREAK_REGISTER");

	if (first && ++nr_registers >= first)
		replace(sqe, -EACCES);
}

static void look_at_commit(struct io_uring_sqe *sqe)
{
	unsigned long each = limit("BREAK_COMMIT"), all = limit("BREAK_COMMITS"), nr = ++nr_commits;

	if (each && nr % each == 0)
		replace(sqe, -ENOMEM);
	if (all && nr >= all)
		replace(sqe, -EACCES);
}

/* Looks at what is about to be submitted. */
static void look(struct io_uring *ring)
{
	for (unsigned int i = *ring->sq.khead; i != ring->sq.sqe_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[(i & ring->sq.ring_mask) * 2];

		if (sqe->opcode != IORING_OP_URING_CMD)
			continue;
		if (sqe->cmd_op == REGISTER)
			look_at_register(sqe);
		else if (sqe->cmd_op == COMMIT_AND_FETCH)
			look_at_commit(sqe);
	}
}

EXPORT int io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *);

	look(ring);
	*(void **)&real = next(__func__);
	return real(ring);
}

EXPORT int io_uring_submit_and_wait(struct io_uring *ring, unsigned int nr)
{
	int (*real)(struct io_uring *, unsigned int);
	unsigned long first = limit("BREAK_WAIT");

	if (first && ++nr_waits >= first)
		return -EBADFD;
	look(ring);
	*(void **)&real = next(__func__);
	return real(ring, nr);
}
