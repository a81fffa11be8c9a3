/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Placement of threads.
 *
 * What tells a client with a deep queue from one that waits for each request is how much work a thread does between two
 * sleeps: 1 for the latter, and for the former what is in its queue. Both states keep the measure, since a thread that
 * can't keep up doesn't sleep wherever it is. A large request is much work by itself: its client would be moved to
 * another CPU while it lasts, away from its data.
 *
 * A thread looks at its pin each time that it has done some work, so the time of its last look tells the others whether
 * its CPU is busy. Without room on another CPU a pin costs nothing and saves migrations.
 *
 * A pin may be lost: a CPU goes offline, or a control group takes it away. The kernel moves the thread then, and each
 * look pins it again if that is possible; if not, it stays where the kernel lets it run.
 */

#include "placement.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define POSSIBLE_LIST "/sys/devices/system/cpu/possible"
#define LIST_BYTES    1024
#define CPUS_POSSIBLE 65536 /* a queue's number has 16 bits */

#define LOOK_INTERVAL 64 /* work */
/* One that has not looked for so many of our intervals is idle. */
#define IDLE_INTERVALS 4
/* Work between two sleeps, in quarters: more makes a pinned thread float, less pins a floating one. */
#define DEEP_QUARTERS	 12
#define SHALLOW_QUARTERS 5

/* CPUs */

/* Reads "N" or "N-M" at *list and moves on behind it. Returns how many that is, 0 if it is neither. */
static unsigned int count_range(const char **list)
{
	char *end;
	unsigned long first, last;

	if (!isdigit((unsigned char)**list))
		return 0;
	first = strtoul(*list, &end, 10);
	last = first;
	if (*end == '-' && isdigit((unsigned char)end[1]))
		last = strtoul(end + 1, &end, 10);
	*list = end;
	return first <= last && last < CPUS_POSSIBLE ? (unsigned int)(last - first) + 1 : 0;
}

unsigned int zsd_cpu_list_count(const char *list)
{
	unsigned int sum = 0, nr;

	do {
		nr = count_range(&list);
		if (!nr)
			return 0;
		sum += nr;
	} while (*list++ == ',');
	list--;
	return *list && *list != '\n' ? 0 : sum;
}

static unsigned int count_possible(void)
{
	ZS_CLEANUP_CLOSE int fd = open(POSSIBLE_LIST, O_RDONLY | O_CLOEXEC);
	char text[LIST_BYTES];
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned int nr = 0;

	if (length > 0) {
		text[length] = '\0';
		nr = zsd_cpu_list_count(text);
	}
	return nr ? nr : (unsigned int)zs_max((uint64_t)sysconf(_SC_NPROCESSORS_CONF), 1);
}

/* threads */

void zsd_placement_make(unsigned int nr_queues, const cpu_set_t *usable, unsigned int max_threads,
			struct zsd_placement *ret_placement)
{
	unsigned int nr_cpus = usable ? (unsigned int)CPU_COUNT(usable) : nr_queues;
	unsigned int thread = 0;

	*ret_placement = (struct zsd_placement){
		.nr_queues = nr_queues,
		.can_pin = usable,
		.nr_threads = (unsigned int)zs_min(zs_max(nr_cpus, 1), zs_min(max_threads, ZSD_PLACEMENT_THREADS_MAX)),
	};
	if (!usable)
		return;
	ret_placement->usable = *usable;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && thread < ret_placement->nr_threads; cpu++) {
		if (CPU_ISSET(cpu, usable))
			ret_placement->cpu_of[thread++] = (unsigned short)cpu;
	}
}

void zsd_placement_detect(unsigned int max_threads, struct zsd_placement *ret_placement)
{
	cpu_set_t usable;
	/* Fails with more than 1024 CPUs. */
	bool known = !sched_getaffinity(0, sizeof(usable), &usable) && CPU_COUNT(&usable);

	zsd_placement_make(count_possible(), known ? &usable : NULL, max_threads, ret_placement);
}

unsigned int zsd_placement_home(const struct zsd_placement *placement, unsigned int queue)
{
	for (unsigned int i = 0; placement->can_pin && i < placement->nr_threads; i++) {
		if (placement->cpu_of[i] == queue)
			return i;
	}
	return queue % placement->nr_threads;
}

/* pins */

static uint64_t count_sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (uint64_t)usage.ru_nvcsw;
}

static int64_t now_nsec(void)
{
	return (int64_t)zs_clock_nsec();
}

/* Whether there is a CPU without a thread, or whose thread has not looked since then. */
static bool has_room(const struct zsd_placement *placement, unsigned int thread, int64_t since)
{
	if ((unsigned int)CPU_COUNT(&placement->usable) > placement->nr_threads)
		return true;
	for (unsigned int i = 0; i < placement->nr_threads; i++) {
		if (i != thread && atomic_load_explicit(&placement->pins[i].looked_nsec, memory_order_relaxed) < since)
			return true;
	}
	return false;
}

static void apply(const struct zsd_placement *placement, unsigned int thread, struct zsd_pin *pin)
{
	cpu_set_t cpus = placement->usable;

	if (pin->pinned) {
		CPU_ZERO(&cpus);
		CPU_SET(placement->cpu_of[thread], &cpus);
	}
	/* EINVAL: none of them is online, or ours any more. Where we are is as good as any then. */
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		pin->pinned = false;
}

void zsd_pin_start(struct zsd_placement *placement, unsigned int thread)
{
	struct zsd_pin *pin = &placement->pins[thread];

	pin->pinned = placement->can_pin;
	pin->nr_sleeps = count_sleeps();
	atomic_store_explicit(&pin->looked_nsec, now_nsec(), memory_order_relaxed);
	if (pin->pinned)
		apply(placement, thread, pin);
}

bool zsd_pin_decide(bool pinned, bool room, uint64_t work, uint64_t nr_sleeps)
{
	if (!room)
		return true;
	return work * 4 < nr_sleeps * (pinned ? DEEP_QUARTERS : SHALLOW_QUARTERS);
}

static void look(struct zsd_placement *placement, unsigned int thread, struct zsd_pin *pin)
{
	bool lost = pin->pinned && sched_getcpu() != placement->cpu_of[thread];
	int64_t now = now_nsec(), before = atomic_load_explicit(&pin->looked_nsec, memory_order_relaxed);
	bool room = has_room(placement, thread, now - IDLE_INTERVALS * (now - before));
	uint64_t nr_sleeps = count_sleeps();
	bool wanted = zsd_pin_decide(pin->pinned, room, pin->work, nr_sleeps - pin->nr_sleeps);

	pin->work = 0;
	pin->nr_sleeps = nr_sleeps;
	atomic_store_explicit(&pin->looked_nsec, now, memory_order_relaxed);
	if (wanted == pin->pinned && !lost)
		return;
	pin->pinned = wanted;
	apply(placement, thread, pin);
}

void zsd_pin_worked(struct zsd_placement *placement, unsigned int thread, unsigned int work)
{
	struct zsd_pin *pin = &placement->pins[thread];

	pin->work += work;
	if (pin->work >= LOOK_INTERVAL && placement->can_pin)
		look(placement, thread, pin);
}
