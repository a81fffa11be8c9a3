/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many threads are at work, and how long they look for a request. Times are in microseconds here. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

#include "crew.h"

#define US	    UINT64_C(1000)
#define NR_MEMBERS  3
#define NR_COUNTED  64 /* requests of a tally */
#define NR_IN_A_ROW 16 /* tallies until a thread leaves */

static struct zsd_crew crew;
static struct zsd_crew_member members[NR_MEMBERS];

static void set_up(void)
{
	zsd_crew_init(&crew, members, NR_MEMBERS);
}

TestSuite(crew, .init = set_up, .timeout = 20);

/* windows */

static uint64_t after(struct zsd_window *window, uint64_t waited_nsec)
{
	zsd_window_adapt(window, waited_nsec);
	return zsd_window_open(window, 0);
}

Test(window, grows_until_it_catches_the_request)
{
	struct zsd_window window = {.max_nsec = 50 * US};

	cr_expect_eq(zsd_window_open(&window, 0), 0);
	cr_expect_eq(after(&window, 45 * US), 10 * US);
	cr_expect_eq(after(&window, 45 * US), 20 * US);
	cr_expect_eq(after(&window, 45 * US), 40 * US);
	cr_expect_eq(after(&window, 30 * US), 40 * US, "it was caught");
	cr_expect_eq(after(&window, 40 * US), 40 * US, "just so");
	cr_expect_eq(after(&window, 45 * US), 50 * US, "no more than the longest");
	cr_expect_eq(after(&window, 50 * US), 50 * US);
	cr_expect_eq(after(&window, 0), 50 * US);
}

Test(window, shrinks_to_nothing_when_requests_are_rare)
{
	struct zsd_window window = {.max_nsec = 50 * US, .nsec = 50 * US};

	cr_expect_eq(after(&window, 50 * US + 1), 25 * US);
	cr_expect_eq(after(&window, 1000000 * US), 12500);
	cr_expect_eq(after(&window, 51 * US), 0);
	cr_expect_eq(after(&window, 51 * US), 0);
	cr_expect_eq(after(&window, 50 * US), 10 * US, "and grows again");
}

Test(window, is_never_longer_than_what_is_allowed)
{
	for (uint64_t max = 0; max <= 60 * US; max += 500) {
		struct zsd_window window = {.max_nsec = max};

		for (uint64_t waited = 0; waited <= 70 * US; waited += 700)
			cr_assert_leq(after(&window, waited), max);
	}
}

Test(window, is_shut_for_a_while_where_others_want_the_cpu)
{
	struct zsd_window window = {.max_nsec = 50 * US, .nsec = 50 * US};

	cr_expect_not(zsd_window_check(&window, 1000 * US, 1020 * US), "an interrupt");
	cr_expect_eq(zsd_window_open(&window, 1020 * US), 50 * US);
	cr_expect(zsd_window_check(&window, 1000 * US, 4000 * US), "a time slice");
	cr_expect_eq(zsd_window_open(&window, 4001 * US), 0);
	cr_expect_eq(zsd_window_open(&window, 53000 * US), 0);
	cr_expect_eq(zsd_window_open(&window, 55000 * US), 50 * US);
}

/* advice */

/* The advice after so many requests, the clients taking turns; it must be to stay until then. */
static enum zsd_advice count(struct zsd_tally *tally, unsigned int nr, unsigned int nr_clients, unsigned int nr_at_once)
{
	enum zsd_advice advice = ZSD_STAY;

	for (unsigned int i = 0; i < nr; i++) {
		cr_expect_eq(advice, ZSD_STAY, "after %u requests", i);
		advice = zsd_tally_count(tally, 100 + i % nr_clients,
					 i % NR_COUNTED < nr_at_once ? ZSD_AT_ONCE : ZSD_LATER);
	}
	return advice;
}

Test(tally, several_clients_one_by_one_change_nothing)
{
	struct zsd_tally tally = {0};

	cr_expect_eq(count(&tally, 3 * NR_IN_A_ROW * NR_COUNTED, 2, 0), ZSD_STAY);
}

Test(tally, requests_of_several_clients_that_wait_are_for_one_more)
{
	struct zsd_tally tally = {0};

	cr_expect_eq(count(&tally, NR_COUNTED, 2, NR_COUNTED / 2), ZSD_CALL);
	cr_expect_eq(count(&tally, NR_COUNTED, 3, NR_COUNTED), ZSD_CALL, "once more");
	cr_expect_eq(count(&tally, NR_COUNTED, 2, NR_COUNTED / 2 - 1), ZSD_STAY);
}

/* nr_at_once: of the requests of a tally. */
static void expect_leave_after_a_while(unsigned int nr_at_once)
{
	struct zsd_tally tally = {.client = 100};

	for (unsigned int turn = 0; turn < 2; turn++) {
		cr_expect_eq(count(&tally, NR_IN_A_ROW * NR_COUNTED - 1, 1, nr_at_once), ZSD_STAY);
		cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_LATER), ZSD_LEAVE, "%u, turn %u", nr_at_once, turn);
	}
}

Test(tally, one_client_is_for_one_thread_after_a_while)
{
	expect_leave_after_a_while(0);
	expect_leave_after_a_while(NR_COUNTED - 1);
}

Test(tally, that_while_begins_again_when_there_is_work_for_more)
{
	struct zsd_tally tally = {.client = 100};

	cr_expect_eq(count(&tally, (NR_IN_A_ROW - 1) * NR_COUNTED, 1, NR_COUNTED), ZSD_STAY);
	cr_expect_eq(count(&tally, NR_COUNTED, 2, NR_COUNTED), ZSD_CALL);
	cr_expect_eq(count(&tally, NR_IN_A_ROW * NR_COUNTED - 1, 1, NR_COUNTED), ZSD_STAY);
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_AT_ONCE), ZSD_LEAVE);
}

Test(tally, what_is_not_known_is_not_counted)
{
	struct zsd_tally tally = {.client = 100};

	for (unsigned int i = 0; i < NR_COUNTED; i++) {
		enum zsd_arrival arrival = i % 8 ? ZSD_UNKNOWN : ZSD_AT_ONCE;

		cr_expect_eq(zsd_tally_count(&tally, 100 + i % 2, arrival), i < NR_COUNTED - 1 ? ZSD_STAY : ZSD_CALL);
	}
	for (unsigned int i = 0; i < NR_COUNTED; i++)
		cr_expect_eq(zsd_tally_count(&tally, 100 + i % 2, ZSD_UNKNOWN), ZSD_STAY, "nothing is known");
}

Test(tally, work_that_takes_long_is_for_one_more_at_once)
{
	struct zsd_tally tally = {.client = 100};

	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_LATER), ZSD_STAY);
	tally.work_nsec += 1000 * US;
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_AT_ONCE), ZSD_CALL);
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_AT_ONCE), ZSD_STAY, "what it took is forgotten");
	tally.work_nsec += 1000 * US;
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_LATER), ZSD_CALL, "half of them had to wait");
	tally.work_nsec += 1000 * US;
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_LATER), ZSD_STAY, "nobody had to wait");
}

Test(tally, work_is_judged_by_what_was_measured)
{
	struct zsd_tally tally = {.client = 100};

	/* 8 of 64 are measured. */
	for (unsigned int i = 0; i < NR_COUNTED - 1; i++) {
		cr_expect_eq(zsd_tally_count(&tally, 100, i % 8 ? ZSD_UNKNOWN : ZSD_AT_ONCE), ZSD_STAY);
		tally.work_nsec += i % 8 ? 0 : 3 * US;
	}
	cr_expect_eq(zsd_tally_count(&tally, 100, ZSD_UNKNOWN), ZSD_CALL);
}

/* crew */

static void come_to_work(unsigned int i)
{
	cr_assert(zsd_crew_wait(&crew, &members[i]), "%u", i);
}

Test(crew, one_is_called_from_the_start_and_may_not_leave)
{
	cr_expect(zsd_crew_is_alone(&crew));
	come_to_work(1);
	cr_expect_not(members[1].off);
	cr_expect(zsd_crew_is_alone(&crew));
	cr_expect_not(zsd_crew_leave(&crew, &members[1]));
	cr_expect_not(members[1].off);
}

Test(crew, all_can_be_called_and_no_more)
{
	come_to_work(0);
	cr_expect(zsd_crew_call(&crew));
	cr_expect(zsd_crew_call(&crew));
	cr_expect_not(zsd_crew_call(&crew));
	come_to_work(1);
	come_to_work(2);
	cr_expect_not(zsd_crew_call(&crew));
	cr_expect(zsd_crew_leave(&crew, &members[0]));
	cr_expect(members[0].off);
	cr_expect_not(zsd_crew_is_alone(&crew));
	cr_expect(zsd_crew_leave(&crew, &members[2]));
	cr_expect_not(zsd_crew_leave(&crew, &members[1]));
	cr_expect(zsd_crew_is_alone(&crew));
	cr_expect(zsd_crew_call(&crew));
}

Test(crew, one_may_leave_when_another_was_called_who_has_not_come_yet)
{
	come_to_work(0);
	cr_assert(zsd_crew_call(&crew));
	cr_expect(zsd_crew_leave(&crew, &members[0]));
	come_to_work(0);
	cr_expect_not(zsd_crew_leave(&crew, &members[0]));
}

static void *wait_for_call(void *argument)
{
	return zsd_crew_wait(&crew, argument) ? argument : NULL;
}

Test(crew, who_sleeps_wakes_up_by_a_call)
{
	pthread_t thread;
	void *result;

	come_to_work(0);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_call, &members[1]), 0);
	usleep(50000);
	cr_expect(members[1].off);
	cr_assert(zsd_crew_call(&crew));
	pthread_join(thread, &result);
	cr_expect_eq(result, &members[1]);
	cr_expect_not(members[1].off);
}

Test(crew, who_sleeps_wakes_up_at_the_end_and_nobody_sleeps_again)
{
	pthread_t thread;
	void *result;

	come_to_work(0);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_call, &members[1]), 0);
	usleep(50000);
	cr_expect_not(zsd_crew_has_ended(&crew));
	zsd_crew_end(&crew);
	pthread_join(thread, &result);
	cr_expect_null(result);
	cr_expect(zsd_crew_has_ended(&crew));
	cr_expect_not(zsd_crew_wait(&crew, &members[2]));
	cr_assert_eq(zsd_crew_start_guard(&crew), 0);
	zsd_crew_join_guard(&crew);
}

/* guard */

Test(crew, the_guard_calls_one_when_all_at_work_are_kept)
{
	come_to_work(0);
	zsd_crew_serve_begin(&members[0]);
	cr_expect(zsd_crew_check(&crew), "it has begun");
	cr_expect(zsd_crew_is_alone(&crew), "not long enough");
	cr_expect(zsd_crew_check(&crew));
	cr_expect_not(zsd_crew_is_alone(&crew));
	zsd_crew_check(&crew);
	cr_expect_eq(crew.nr_working, 2, "not again before that one has come");
	come_to_work(1);
	zsd_crew_check(&crew);
	cr_expect_eq(crew.nr_working, 2, "it looks for requests");
	zsd_crew_serve_begin(&members[1]);
	zsd_crew_check(&crew);
	zsd_crew_check(&crew);
	cr_expect_eq(crew.nr_working, 3);
	come_to_work(2);
	zsd_crew_serve_begin(&members[2]);
	for (unsigned int i = 0; i < 3; i++)
		cr_expect(zsd_crew_check(&crew));
	cr_expect_eq(crew.nr_working, 3, "there is nobody left");
}

Test(crew, the_guard_calls_nobody_while_requests_are_served)
{
	come_to_work(0);
	for (unsigned int i = 0; i < 100; i++) {
		zsd_crew_serve_begin(&members[0]);
		cr_expect(zsd_crew_check(&crew));
		zsd_crew_serve_end(&members[0]);
	}
	cr_expect(zsd_crew_check(&crew));
	cr_expect_not(zsd_crew_check(&crew), "nothing was served");
	cr_expect(zsd_crew_is_alone(&crew));
}

/* Whether it comes to that, and stays so for a moment: the guard tries at each tick whether it may doze. */
static bool becomes(bool dozing)
{
	for (unsigned int tries = 0; tries < 1000; tries++) {
		bool before = crew.dozing;

		usleep(10000);
		if (before == dozing && (bool)crew.dozing == before)
			return true;
	}
	return false;
}

Test(crew, the_guard_has_no_timer_while_one_at_work_rests_or_all_are_at_work)
{
	come_to_work(0);
	zsd_crew_rest_begin(&members[0]);
	cr_assert_eq(zsd_crew_start_guard(&crew), 0);
	cr_expect(becomes(true), "one rests");
	zsd_crew_rest_end(&crew, &members[0]);
	cr_expect(becomes(false), "it does not rest any more");
	cr_assert(zsd_crew_call(&crew));
	cr_assert(zsd_crew_call(&crew));
	cr_expect(becomes(true), "all are at work");
	come_to_work(1);
	cr_assert(zsd_crew_leave(&crew, &members[1]));
	cr_expect(becomes(false), "one has left");
	zsd_crew_end(&crew);
	zsd_crew_join_guard(&crew);
}
