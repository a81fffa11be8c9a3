/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Placement: which thread serves which queue, on which CPU, and when it is pinned. */

#include <criterion/criterion.h>

#include "base/bits.h"
#include "placement.h"

/* 32 KiB, for each thread that one may have. */
static struct zsd_placement machine;

static cpu_set_t cpus(const unsigned int *numbers, size_t nr)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (size_t i = 0; i < nr; i++)
		CPU_SET(numbers[i], &set);
	return set;
}

Test(placement, lists_of_cpus_are_counted)
{
	static const struct {
		const char *list;
		unsigned int nr;
	} cases[] = {
		{"0", 1},	  {"0\n", 1},  {"0-1\n", 2},	  {"0,2\n", 2}, {"0-3,8-11,64", 9},
		{"0-8191", 8192}, {"", 0},     {"\n", 0},	  {"a", 0},	{"0-", 0},
		{"-1", 0},	  {"3-1", 0},  {"0,", 0},	  {"0-1x", 0},	{",0", 0},
		{"0 1", 0},	  {"0--1", 0}, {"0-99999999", 0}, {"1,,2", 0},	{"0-1,2-x", 0},
	};

	for (size_t i = 0; i < ZS_ARRAY_SIZE(cases); i++)
		cr_expect_eq(zsd_cpu_list_count(cases[i].list), cases[i].nr, "'%s'", cases[i].list);
}

Test(placement, each_queue_has_a_home_whatever_is_possible_usable_and_wanted)
{
	for (unsigned int nr_queues = 1; nr_queues <= 9; nr_queues++) {
		for (unsigned int mask = 1; mask < 1u << nr_queues; mask++) {
			for (unsigned int max = 1; max <= 10; max++) {
				cpu_set_t usable;

				CPU_ZERO(&usable);
				for (unsigned int cpu = 0; cpu < nr_queues; cpu++) {
					if (mask & 1u << cpu)
						CPU_SET(cpu, &usable);
				}
				zsd_placement_make(nr_queues, &usable, max, &machine);
				cr_assert_eq(machine.nr_threads, zs_min(max, (unsigned int)__builtin_popcount(mask)));
				for (unsigned int queue = 0; queue < nr_queues; queue++)
					cr_assert_lt(zsd_placement_home(&machine, queue), machine.nr_threads);
			}
		}
	}
}

Test(placement, a_queue_is_at_home_on_its_own_cpu)
{
	const unsigned int numbers[] = {1, 2, 5};
	const cpu_set_t usable = cpus(numbers, 3);

	zsd_placement_make(6, &usable, 256, &machine);
	cr_assert_eq(machine.nr_threads, 3);
	cr_assert(machine.can_pin);
	for (unsigned int i = 0; i < 3; i++) {
		cr_expect_eq(machine.cpu_of[i], numbers[i]);
		cr_expect_eq(zsd_placement_home(&machine, numbers[i]), i);
	}
}

Test(placement, queues_without_a_thread_are_spread)
{
	const unsigned int numbers[] = {0, 1};
	const cpu_set_t usable = cpus(numbers, 2);
	unsigned int nr_of[2] = {0, 0};

	zsd_placement_make(64, &usable, 256, &machine);
	for (unsigned int queue = 0; queue < 64; queue++)
		nr_of[zsd_placement_home(&machine, queue)]++;
	cr_expect_eq(nr_of[0], 32);
	cr_expect_eq(nr_of[1], 32);
}

Test(placement, without_known_cpus_nothing_is_pinned)
{
	zsd_placement_make(2000, NULL, 256, &machine);
	cr_expect_eq(machine.nr_threads, 256);
	cr_expect_not(machine.can_pin);
	zsd_pin_start(&machine, 3);
	cr_expect_not(machine.pins[3].pinned);
	zsd_pin_worked(&machine, 3, 1000);
	cr_expect_not(machine.pins[3].pinned);
}

Test(placement, this_machine_has_a_queue_for_each_thread)
{
	zsd_placement_detect(1, &machine);
	cr_expect_eq(machine.nr_threads, 1);
	zsd_placement_detect(256, &machine);
	cr_expect_geq(machine.nr_threads, 1);
	cr_expect_geq(machine.nr_queues, machine.nr_threads);
}

Test(placement, one_request_at_a_time_pins_and_a_deep_queue_floats)
{
	cr_expect(zsd_pin_decide(true, true, 64, 64), "one by one");
	cr_expect(zsd_pin_decide(false, true, 64, 64), "one by one");
	cr_expect_not(zsd_pin_decide(true, true, 64, 16), "4 at a time");
	cr_expect_not(zsd_pin_decide(false, true, 64, 16), "4 at a time");
	cr_expect_not(zsd_pin_decide(true, true, 64, 0), "never asleep");
	cr_expect_not(zsd_pin_decide(false, true, 64, 0), "never asleep");
}

Test(placement, in_between_it_stays_as_it_is)
{
	for (unsigned int nr_sleeps = 22; nr_sleeps <= 51; nr_sleeps++) {
		cr_expect(zsd_pin_decide(true, true, 64, nr_sleeps), "%u sleeps", nr_sleeps);
		cr_expect_not(zsd_pin_decide(false, true, 64, nr_sleeps), "%u sleeps", nr_sleeps);
	}
}

Test(placement, where_all_cpus_are_busy_it_is_pinned)
{
	cr_expect(zsd_pin_decide(true, false, 64, 0));
	cr_expect(zsd_pin_decide(false, false, 64, 0));
}

static cpu_set_t present_cpus(void)
{
	cpu_set_t set;

	cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

Test(placement, a_thread_that_never_sleeps_floats_if_another_cpu_has_nothing_to_do)
{
	cpu_set_t now;

	zsd_placement_detect(1, &machine);
	if (!machine.can_pin || CPU_COUNT(&machine.usable) < 2)
		return;
	zsd_pin_start(&machine, 0);
	cr_assert(machine.pins[0].pinned);
	cr_expect_eq(sched_getcpu(), machine.cpu_of[0]);
	zsd_pin_worked(&machine, 0, 63);
	cr_expect(machine.pins[0].pinned);
	zsd_pin_worked(&machine, 0, 1);
	cr_expect_not(machine.pins[0].pinned);
	now = present_cpus();
	cr_expect(CPU_EQUAL(&now, &machine.usable));
}

Test(placement, it_comes_home_when_the_other_threads_are_busy)
{
	zsd_placement_detect(256, &machine);
	if (!machine.can_pin || machine.nr_threads < 2)
		return;
	zsd_pin_start(&machine, 0);
	zsd_pin_worked(&machine, 0, 64);
	cr_expect_not(machine.pins[0].pinned);
	for (unsigned int i = 1; i < machine.nr_threads; i++)
		machine.pins[i].looked_nsec = INT64_MAX;
	zsd_pin_worked(&machine, 0, 64);
	cr_expect(machine.pins[0].pinned);
	cr_expect_eq(sched_getcpu(), machine.cpu_of[0]);
}

Test(placement, a_pin_that_was_taken_away_comes_back)
{
	cpu_set_t first;

	zsd_placement_detect(256, &machine);
	if (!machine.can_pin || machine.nr_threads < 2)
		return;
	zsd_pin_start(&machine, 1);
	for (unsigned int i = 0; i < machine.nr_threads; i++) {
		if (i != 1)
			machine.pins[i].looked_nsec = INT64_MAX;
	}
	first = cpus((unsigned int[]){machine.cpu_of[0]}, 1);
	cr_assert_eq(sched_setaffinity(0, sizeof(first), &first), 0);
	cr_assert_eq(sched_getcpu(), machine.cpu_of[0]);
	zsd_pin_worked(&machine, 1, 64);
	cr_expect_eq(sched_getcpu(), machine.cpu_of[1]);
}
