/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A crew on a connection that is made of atomics: no request may be left alone, whatever the members at work are doing.
 * Clients ask one by one, after pauses of all lengths, so that members look, rest and are off, and the guard dozes.
 * Some requests keep who serves them until another client's request has been served, as memory that is only free after
 * a write to ourselves would: without another member to take that one, they would last for ever.
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "crew.h"
#include "support/options.h"
#include "support/threads.h"

#define DEFAULT_SECONDS 6
#define NR_CLIENTS	3
#define NR_MEMBERS	(NR_CLIENTS + 1)
#define PATIENCE	20 /* seconds */
#define WINDOW_LOOKS	50

struct request {
	_Atomic bool waiting; /* to be taken */
	bool is_kept;
	sem_t done;
};

struct world {
	struct zsd_crew crew;
	struct zsd_crew_member members[NR_MEMBERS];
	struct request requests[NR_CLIENTS];
	pthread_mutex_t lock; /* of the kernel's sleep */
	pthread_cond_t has_request;
	_Atomic uint64_t nr_served;
	_Atomic uint64_t nr_rests;
	_Atomic uint64_t nr_kept;
	_Atomic uint64_t nr_offs;
	_Atomic unsigned int next_member;
	_Atomic bool is_over; /* client 0 has stopped asking */
};

/* connection */

/* One that waits, which is the caller's then; or NULL. */
static struct request *take(struct world *world)
{
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		struct request *request = &world->requests[i];

		if (atomic_load(&request->waiting) && atomic_exchange(&request->waiting, false))
			return request;
	}
	return NULL;
}

static bool has_request(struct world *world)
{
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		if (atomic_load(&world->requests[i].waiting))
			return true;
	}
	return false;
}

static void put(struct world *world, struct request *request)
{
	pthread_mutex_lock(&world->lock);
	atomic_store(&request->waiting, true);
	/* One, as the kernel does. */
	pthread_cond_signal(&world->has_request);
	pthread_mutex_unlock(&world->lock);
}

/* members */

static void rest(struct world *world, struct zsd_crew_member *member)
{
	zsd_crew_rest_begin(member);
	pthread_mutex_lock(&world->lock);
	while (!has_request(world) && !zsd_crew_has_ended(&world->crew))
		pthread_cond_wait(&world->has_request, &world->lock);
	pthread_mutex_unlock(&world->lock);
	zsd_crew_rest_end(&world->crew, member);
	atomic_fetch_add(&world->nr_rests, 1);
}

static void serve(struct world *world, struct request *request)
{
	uint64_t before = atomic_load(&world->nr_served);

	if (request->is_kept) {
		while (atomic_load(&world->nr_served) == before && !atomic_load(&world->is_over))
			usleep(100);
		atomic_fetch_add(&world->nr_kept, 1);
	}
	atomic_fetch_add(&world->nr_served, 1);
	sem_post(&request->done);
}

static void stay_off(struct world *world, struct zsd_crew_member *member)
{
	atomic_fetch_add(&world->nr_offs, 1);
	while (!zsd_crew_has_ended(&world->crew) && !zsd_crew_wait(&world->crew, member))
		;
}

/* Several at work rest as well, and now and then one of them leaves. */
static void wait_somehow(struct world *world, struct zsd_crew_member *member, struct test_random *random)
{
	if (test_random_chance(random, 50) && zsd_crew_leave(&world->crew, member))
		stay_off(world, member);
	else
		rest(world, member);
}

static struct request *look(struct world *world)
{
	struct request *request = take(world);

	for (unsigned int i = 0; !request && i < WINDOW_LOOKS; i++)
		request = take(world);
	return request;
}

static void *work(void *argument)
{
	struct world *world = argument;
	unsigned int number = atomic_fetch_add(&world->next_member, 1);
	struct zsd_crew_member *member = &world->members[number];
	struct test_random random = {.state = number};
	struct request *request;

	stay_off(world, member);
	while (!zsd_crew_has_ended(&world->crew)) {
		request = look(world);
		if (request) {
			zsd_crew_serve_begin(member);
			serve(world, request);
			zsd_crew_serve_end(member);
		} else {
			wait_somehow(world, member, &random);
		}
	}
	return NULL;
}

/* clients */

static void pause_somehow(struct test_random *random)
{
	uint64_t dice = test_random_below(random, 1000);

	if (dice < 4)
		usleep(30000);
	else if (dice < 200)
		usleep((useconds_t)test_random_below(random, 300));
}

static void ask(struct test_thread *thread)
{
	struct world *world = thread->context;
	struct request *request = &world->requests[thread->number];
	struct timespec end;

	/* Client 0 never has one that is kept, so that the others' end. */
	request->is_kept = thread->number && test_random_chance(&thread->random, 2);
	put(world, request);
	/* More than are wanted, now and then. */
	if (test_random_chance(&thread->random, 2))
		zsd_crew_call(&world->crew);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE;
	while (sem_timedwait(&request->done, &end))
		zs_assert_msg(errno == EINTR, "a request of client %u is left alone", thread->number);
	pause_somehow(&thread->random);
}

static void stop_asking(struct test_thread *thread)
{
	struct world *world = thread->context;

	if (!thread->number)
		atomic_store(&world->is_over, true);
}

static const struct test_thread_role roles[] = {
	{.name = "clients", .nr_threads = NR_CLIENTS, .step = ask, .end = stop_asking}};

/* world */

static void init(struct world *world)
{
	zsd_crew_init(&world->crew, world->members, NR_MEMBERS);
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->has_request, NULL);
	for (unsigned int i = 0; i < NR_CLIENTS; i++)
		sem_init(&world->requests[i].done, 0, 0);
}

static void end(struct world *world, const pthread_t *threads, unsigned int nr)
{
	pthread_mutex_lock(&world->lock);
	zsd_crew_end(&world->crew);
	pthread_cond_broadcast(&world->has_request);
	pthread_mutex_unlock(&world->lock);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	zsd_crew_join_guard(&world->crew);
}

int main(int argc, char **argv)
{
	struct test_options options = {.seconds = DEFAULT_SECONDS};
	static struct world world;
	pthread_t threads[NR_MEMBERS];

	test_options_parse(&options, argc, argv);
	init(&world);
	zs_assert(!zsd_crew_start_guard(&world.crew));
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(threads); i++)
		zs_assert(!pthread_create(&threads[i], NULL, work, &world));
	test_threads_run(roles, ZS_ARRAY_SIZE(roles), options.seed, options.seconds, &world);
	end(&world, threads, ZS_ARRAY_SIZE(threads));
	printf("%" PRIu64 " rests, %" PRIu64 " times off, %" PRIu64 " requests that needed another\n", world.nr_rests,
	       world.nr_offs, world.nr_kept);
	zs_assert(world.nr_rests && world.nr_kept && world.nr_offs > NR_MEMBERS);
	return 0;
}
