/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many threads are at work.
 *
 *	off	sleeps on `calls`			nr_working doesn't count it
 *	called	has still to wake up			nr_working and calls count it
 *	at work	takes requests, serves them, or rests	nr_working counts it
 *
 *	nr_working = members at work + calls >= 1
 *
 * Only leaving lowers nr_working, and not below 1. So there is always one at work, or one that was called and will be.
 * A call is never lost: it raises `calls` before it wakes somebody, and who is about to sleep does so only if the
 * kernel finds `calls` at 0. Whoever wakes up takes it, which need not be the one that was woken.
 *
 * One at work that serves a request may be kept by it: a slow codec, a disk, a lock, or memory that the kernel gives
 * only after writing to one of our own files. The guard looks for that at each tick. It has no timer while one at work
 * rests, since then the next request wakes that one, which wakes the guard before it serves: it stores `resting` and
 * loads `dozing` while the guard stores `dozing` and loads `resting`, so one of them sees the other. The same holds for
 * nr_working while all are at work, and who leaves then.
 */

#include "crew.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "threads.h"

#define ENDED UINT32_C(0x80000000) /* in calls */

/* Why the guard has no timer, and who gives it one again. */
enum {
	AWAKE,
	UNTIL_REQUEST, /* one at work rests, and will take it */
	UNTIL_LEAVE,   /* all are at work: there is nobody to call */
};

#define TICK_NSEC   1000000
#define QUIET_TICKS 10 /* without a request, until the guard dozes */

/* KVM's halt_poll_ns_grow_start. */
#define WINDOW_MIN_NSEC 10000
/*
 * A thread that looks where others want its CPU uses up its time for nothing, and isn't preferred any more when there
 * is a request, as one that sleeps is. What it loses by one time slice of another thread, 3 ms, is little in this time.
 */
#define SHUT_NSEC 50000000
/* A look takes less than one, an interrupt or a thread that wakes up for a moment some; a time slice takes hundreds. */
#define PREEMPTED_NSEC 100000

/*
 * A tally is looked at after this many requests, or when those that are measured have taken as long as if all took
 * WORK_NSEC, which is what a client spends on a request. If they take less, a second thread would take the CPU from a
 * client with a deep queue that keeps one thread busy by itself: with a server that does nothing, 196k requests a
 * second by two threads, 377k by one.
 */
#define TALLY_REQUESTS 64
#define WORK_NSEC      2000
/* Leaving may wait: who was called in vain costs little, and who has left is missed for some time. */
#define SPARE_TALLIES 16

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int nr)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
}

void zsd_crew_init(struct zsd_crew *crew, struct zsd_crew_member *members, uint32_t nr_members)
{
	zs_assert(nr_members > 0);
	*crew = (struct zsd_crew){.members = members, .nr_members = nr_members, .nr_working = 1, .calls = 1};
	for (uint32_t i = 0; i < nr_members; i++)
		members[i] = (struct zsd_crew_member){.off = true};
}

/* work */

/* The guard has a timer again. */
static void stir(struct zsd_crew *crew)
{
	atomic_store(&crew->dozing, AWAKE);
	futex_wake(&crew->dozing, 1);
}

bool zsd_crew_wait(struct zsd_crew *crew, struct zsd_crew_member *member)
{
	uint32_t calls;

	futex_wait(&crew->calls, 0, NULL);
	calls = atomic_load(&crew->calls);
	while (calls && !(calls & ENDED)) {
		if (!atomic_compare_exchange_weak(&crew->calls, &calls, calls - 1))
			continue;
		atomic_store(&member->off, false);
		return true;
	}
	return false;
}

bool zsd_crew_leave(struct zsd_crew *crew, struct zsd_crew_member *member)
{
	uint32_t nr = atomic_load(&crew->nr_working);

	while (nr > 1) {
		if (!atomic_compare_exchange_weak(&crew->nr_working, &nr, nr - 1))
			continue;
		atomic_store(&member->off, true);
		if (atomic_load(&crew->dozing) == UNTIL_LEAVE)
			stir(crew);
		return true;
	}
	return false;
}

bool zsd_crew_is_alone(const struct zsd_crew *crew)
{
	return atomic_load_explicit(&crew->nr_working, memory_order_relaxed) == 1;
}

bool zsd_crew_call(struct zsd_crew *crew)
{
	uint32_t nr = atomic_load(&crew->nr_working);

	while (nr < crew->nr_members) {
		if (!atomic_compare_exchange_weak(&crew->nr_working, &nr, nr + 1))
			continue;
		atomic_fetch_add(&crew->calls, 1);
		futex_wake(&crew->calls, 1);
		return true;
	}
	return false;
}

void zsd_crew_rest_begin(struct zsd_crew_member *member)
{
	atomic_store(&member->resting, true);
}

void zsd_crew_rest_end(struct zsd_crew *crew, struct zsd_crew_member *member)
{
	atomic_store(&member->resting, false);
	if (atomic_load(&crew->dozing) == UNTIL_REQUEST)
		stir(crew);
}

/* The guard wants to know whether it changes, no more. */
static void next_turn(struct zsd_crew_member *member)
{
	uint32_t turn = atomic_load_explicit(&member->turn, memory_order_relaxed);

	atomic_store_explicit(&member->turn, turn + 1, memory_order_relaxed);
}

void zsd_crew_serve_begin(struct zsd_crew_member *member)
{
	next_turn(member);
}

void zsd_crew_serve_end(struct zsd_crew_member *member)
{
	next_turn(member);
}

void zsd_crew_end(struct zsd_crew *crew)
{
	atomic_fetch_or(&crew->calls, ENDED);
	futex_wake(&crew->calls, INT_MAX);
	stir(crew);
}

bool zsd_crew_has_ended(const struct zsd_crew *crew)
{
	return atomic_load_explicit(&crew->calls, memory_order_relaxed) & ENDED;
}

/* guard */

bool zsd_crew_check(struct zsd_crew *crew)
{
	bool is_free = false, has_served = false;

	for (uint32_t i = 0; i < crew->nr_members; i++) {
		struct zsd_crew_member *member = &crew->members[i];
		uint32_t turn = atomic_load_explicit(&member->turn, memory_order_relaxed);
		bool is_kept = turn % 2 && turn == member->checked_turn;

		has_served |= turn != member->checked_turn;
		is_free |= !is_kept && !atomic_load(&member->off);
		member->checked_turn = turn;
	}
	/* A call that nobody has answered yet will be. */
	if (!is_free && !atomic_load(&crew->calls))
		zsd_crew_call(crew);
	return has_served || !is_free;
}

static bool is_somebody_resting(struct zsd_crew *crew)
{
	for (uint32_t i = 0; i < crew->nr_members; i++) {
		if (atomic_load(&crew->members[i].resting))
			return true;
	}
	return false;
}

/* Sleeps until it is stirred; false if that may not happen, since there is no such reason. */
static bool doze(struct zsd_crew *crew, uint32_t reason)
{
	bool may_sleep;

	atomic_store(&crew->dozing, reason);
	may_sleep = !zsd_crew_has_ended(crew);
	if (reason == UNTIL_LEAVE)
		may_sleep &= atomic_load(&crew->nr_working) == crew->nr_members;
	else
		may_sleep &= is_somebody_resting(crew);
	if (may_sleep)
		futex_wait(&crew->dozing, reason, NULL);
	atomic_store(&crew->dozing, AWAKE);
	return may_sleep;
}

static void *run_guard(void *argument)
{
	struct zsd_crew *crew = argument;
	const struct timespec tick = {.tv_nsec = TICK_NSEC};
	unsigned int nr_quiet = 0;

	while (!zsd_crew_has_ended(crew)) {
		nr_quiet = zsd_crew_check(crew) ? 0 : nr_quiet + 1;
		if (doze(crew, UNTIL_LEAVE) || (nr_quiet >= QUIET_TICKS && doze(crew, UNTIL_REQUEST)))
			continue;
		futex_wait(&crew->dozing, AWAKE, &tick);
	}
	return NULL;
}

int zsd_crew_start_guard(struct zsd_crew *crew)
{
	int r;

	if (crew->nr_members == 1)
		return 0;
	r = zsd_thread_start("zsd-guard", run_guard, crew, &crew->guard);
	crew->has_guard = !r;
	return r;
}

void zsd_crew_join_guard(struct zsd_crew *crew)
{
	if (crew->has_guard)
		pthread_join(crew->guard, NULL);
}

/* decisions */

/* Counts in tally->nr_spare. */
static enum zsd_advice decide(struct zsd_tally *tally)
{
	bool has_backlog = tally->nr_at_once && tally->nr_at_once * 2 >= tally->nr_asked;
	bool has_clients = tally->nr_switches * 4 >= tally->nr_requests;
	bool has_work = tally->work_nsec >= tally->nr_asked * WORK_NSEC;
	uint32_t nr_spare = tally->nr_spare + 1;

	tally->nr_spare = 0;
	if (has_backlog && (has_clients || has_work))
		return ZSD_CALL;
	if (has_clients)
		return ZSD_STAY;
	if (nr_spare >= SPARE_TALLIES)
		return ZSD_LEAVE;
	tally->nr_spare = nr_spare;
	return ZSD_STAY;
}

enum zsd_advice zsd_tally_count(struct zsd_tally *tally, uint32_t client, enum zsd_arrival arrival)
{
	enum zsd_advice advice;

	tally->nr_requests++;
	tally->nr_asked += arrival != ZSD_UNKNOWN;
	tally->nr_at_once += arrival == ZSD_AT_ONCE;
	tally->nr_switches += client != tally->client;
	tally->client = client;
	if (tally->nr_requests < TALLY_REQUESTS && tally->work_nsec < TALLY_REQUESTS * WORK_NSEC)
		return ZSD_STAY;
	advice = decide(tally);
	*tally = (struct zsd_tally){.client = client, .nr_spare = tally->nr_spare};
	return advice;
}

uint64_t zsd_window_open(const struct zsd_window *window, uint64_t now_nsec)
{
	return now_nsec < window->shut_until_nsec ? 0 : window->nsec;
}

bool zsd_window_check(struct zsd_window *window, uint64_t before_nsec, uint64_t now_nsec)
{
	if (now_nsec - before_nsec < PREEMPTED_NSEC)
		return false;
	window->shut_until_nsec = now_nsec + SHUT_NSEC;
	return true;
}

void zsd_window_adapt(struct zsd_window *window, uint64_t waited_nsec)
{
	if (waited_nsec > window->max_nsec)
		window->nsec = window->nsec / 2 < WINDOW_MIN_NSEC ? 0 : window->nsec / 2;
	else if (waited_nsec > window->nsec)
		window->nsec = zs_min(window->max_nsec, zs_max(window->nsec * 2, WINDOW_MIN_NSEC));
}
