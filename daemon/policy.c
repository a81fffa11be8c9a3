/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When the daemon compacts by itself.
 *
 *   state     waits for                                       next
 *   asleep    a write or discard, or zsd_policy_changed()     waiting
 *   waiting   the timer: then looks at the pool               running if it is fragmented, else asleep
 *   running   the timer: a slice, and a pause in proportion   asleep; waiting, if something changed during the run
 *
 * While asleep there is no timer. A request pays one relaxed load; the first that changes data wakes the control
 * thread, and the next ones don't until it has looked. Changes are watched for from before each look on, so that none
 * is missed, however long the run takes that it leads to. What was discarded is freed by the maintenance thread some
 * time after the request that woke us: as long as something waits there, it is looked at again.
 *
 * Slices run on the control thread and not on one of their own: they need no lock, end before the store does, and
 * take turns with `zsctl compact` by themselves. A thread of low priority would be worse, since it could be
 * interrupted for long while it holds the lock of a size class that a request waits for.
 */

#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "frontend.h"

/*
 * Short runs: one that frees much gives memory back that the next overwrites take again, and what it empties last are
 * the zspages that take most moves for a page. When all objects of a pool are replaced, six times (bench arena alloc),
 * runs from 5 % down to 1.5 % made 0.044 pages and 0.047 moves for a replacement, from 4 % to 3.6 % 0.030 and 0.046.
 */
#define STOP_TENTHS 9 /* of the threshold */
/* A smaller gain is not worth waking up for, whatever part of a small pool it is. */
#define START_MIN_PAGES ((UINT64_C(8) << 20) / ZS_PAGE_SIZE)
/*
 * Some 0.1 ms: four times as many took 0.45 ms on average and 1.2 ms at most, measured on blocks of 4 KiB of which 60 %
 * were discarded at random, and freed more than a run has to.
 */
#define SLICE_PAGES 64

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
/* From the first change to the look at what it led to. */
#define LOOK_USEC USEC_PER_SEC
/* After a slice that took long for reasons that are not ours, such as SIGSTOP. */
#define PAUSE_MAX_USEC USEC_PER_SEC
/* Between two lines of the log: a pool that is overwritten all the time may have a run each second. */
#define TELL_USEC (60 * USEC_PER_SEC)

enum state {
	ASLEEP,
	WAITING,
	RUNNING,
};

struct run {
	uint64_t begun_usec;
	struct zs_pool_stats begun; /* the pool at the start */
	struct zs_pool_stats now;   /* after the last slice, by what it freed */
	uint64_t freed_pages;	    /* so far */
};

struct zsd_policy {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	struct zsd_policy_options options;
	int change_fd;
	sd_event_source *change;
	sd_event_source *timer; /* off while asleep */
	enum state state;
	bool changed; /* since the last look */
	struct run run;
	uint64_t told_usec; /* when a run was last told of; 0 = never */
	struct zsd_policy_stats stats;
};

/* thresholds */

bool zsd_policy_wants_start(const struct zsd_policy_options *options, const struct zs_pool_stats *pool)
{
	return pool->freeable_pages > START_MIN_PAGES &&
	       pool->freeable_pages * 100 > pool->pages * options->threshold_percent;
}

bool zsd_policy_wants_stop(const struct zsd_policy_options *options, const struct zs_pool_stats *pool)
{
	return pool->freeable_pages * 1000 <= pool->pages * options->threshold_percent * STOP_TENTHS;
}

bool zsd_policy_is_news(uint64_t freed_pages, uint64_t now_usec, uint64_t told_usec)
{
	return freed_pages && (!told_usec || now_usec - told_usec >= TELL_USEC);
}

/* timer */

static uint64_t now_usec(void)
{
	return zs_clock_nsec() / 1000;
}

/* The kernel may add a quarter of the delay, to wake up for several timers at once. */
static void schedule(struct zsd_policy *policy, enum state state, uint64_t delay_usec)
{
	policy->state = state;
	sd_event_source_set_time(policy->timer, now_usec() + delay_usec);
	sd_event_source_set_time_accuracy(policy->timer, zs_max(delay_usec / 4, 1));
	sd_event_source_set_enabled(policy->timer, SD_EVENT_ONESHOT);
}

/* Until the next change; or not, if there was one, or what was discarded is not free yet. */
static void settle(struct zsd_policy *policy, const struct zs_deferred_stats *deferred, uint64_t delay_usec)
{
	if (policy->changed || deferred->pending || deferred->devices)
		schedule(policy, WAITING, delay_usec);
	else
		policy->state = ASLEEP;
}

/* runs */

static void begin_run(struct zsd_policy *policy, const struct zs_pool_stats *pool)
{
	policy->run = (struct run){.begun_usec = now_usec(), .begun = *pool, .now = *pool};
	policy->stats.runs++;
	schedule(policy, RUNNING, 0);
}

static const char *size_text(uint64_t nr_pages, char buffer[static ZS_SIZE_TEXT_BYTES])
{
	return zs_size_format(nr_pages * ZS_PAGE_SIZE, buffer);
}

static void log_run(struct zsd_policy *policy, const struct zs_pool_stats *pool)
{
	const struct run *run = &policy->run;
	char held[ZS_SIZE_TEXT_BYTES], all[ZS_SIZE_TEXT_BYTES], freed[ZS_SIZE_TEXT_BYTES], left[ZS_SIZE_TEXT_BYTES];
	bool done = policy->stats.last_end == ZSD_COMPACTION_DONE;
	uint64_t now = now_usec();
	bool news = zsd_policy_is_news(run->freed_pages, now, policy->told_usec);

	if (news)
		policy->told_usec = now;
	zs_log(news ? ZS_LOG_INFO : ZS_LOG_DEBUG,
	       "compacted: fragmentation held %s of the pool's %s, more than %u%%; freed %s in %llu ms, %s are left%s",
	       size_text(run->begun.freeable_pages, held), size_text(run->begun.pages, all),
	       policy->options.threshold_percent, size_text(run->freed_pages, freed),
	       (unsigned long long)((now - run->begun_usec) / USEC_PER_MSEC), size_text(pool->freeable_pages, left),
	       done ? "" : " and in use");
}

static void end_run(struct zsd_policy *policy, enum zsd_compaction_end end, const struct zs_store_stats *stats)
{
	policy->stats.last_end = end;
	log_run(policy, &stats->pool);
	settle(policy, &stats->deferred, LOOK_USEC);
}

static void count_freed(struct zsd_policy *policy, uint64_t nr_pages)
{
	struct zs_pool_stats *now = &policy->run.now;

	policy->stats.freed_pages += nr_pages;
	policy->run.freed_pages += nr_pages;
	now->pages -= zs_min(nr_pages, now->pages);
	now->freeable_pages -= zs_min(nr_pages, now->freeable_pages);
}

/*
 * True if there is nothing to do any more. The pool is asked only when it looks like that: it takes 20 us, but as much
 * for each device if they have pools of their own.
 */
static bool is_over(struct zsd_policy *policy, bool stuck)
{
	struct zs_store_stats stats;

	if (!stuck && !zsd_policy_wants_stop(&policy->options, &policy->run.now))
		return false;
	zs_store_stats(policy->store, &stats);
	policy->run.now = stats.pool;
	if (zsd_policy_wants_stop(&policy->options, &stats.pool)) {
		end_run(policy, ZSD_COMPACTION_DONE, &stats);
		return true;
	}
	if (stuck)
		end_run(policy, ZSD_COMPACTION_EXHAUSTED, &stats);
	return stuck;
}

static void run_slice(struct zsd_policy *policy)
{
	uint64_t begun_usec = now_usec(), freed = zs_store_compact(policy->store, SLICE_PAGES), pause_usec;

	count_freed(policy, freed);
	if (is_over(policy, !freed))
		return;
	pause_usec = (now_usec() - begun_usec) * (100 - policy->options.quota_percent) / policy->options.quota_percent;
	schedule(policy, RUNNING, zs_min(pause_usec, PAUSE_MAX_USEC));
}

static void look(struct zsd_policy *policy)
{
	struct zs_store_stats stats;

	/* First this: what happens from now on wakes us up again, what happened before is in the numbers. */
	policy->changed = false;
	zsd_frontend_watch_changes(policy->frontend, policy->change_fd);
	zs_store_stats(policy->store, &stats);
	if (zsd_policy_wants_start(&policy->options, &stats.pool))
		begin_run(policy, &stats.pool);
	else
		settle(policy, &stats.deferred, LOOK_USEC);
}

/* events */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct zsd_policy *policy = userdata;

	if (policy->state == RUNNING)
		run_slice(policy);
	else
		look(policy);
	return 0;
}

void zsd_policy_changed(struct zsd_policy *policy)
{
	policy->changed = true;
	if (policy->state == ASLEEP)
		schedule(policy, WAITING, LOOK_USEC);
}

static int on_change(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	zsd_policy_changed(userdata);
	return 0;
}

/* life */

static int start(struct zsd_policy *policy, sd_event *event)
{
	int r;

	policy->change_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (policy->change_fd < 0)
		return -errno;
	r = sd_event_add_io(event, &policy->change, policy->change_fd, EPOLLIN, on_change, policy);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &policy->timer, CLOCK_MONOTONIC, 0, 0, on_timer, policy);
	if (r < 0)
		return r;
	/* Whoever waits for an answer goes before the next slice. */
	r = sd_event_source_set_priority(policy->timer, SD_EVENT_PRIORITY_IDLE);
	return r < 0 ? r : 0;
}

static void destroyp(struct zsd_policy **policy)
{
	zsd_policy_destroy(*policy);
}

int zsd_policy_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
		      const struct zsd_policy_options *options, struct zsd_policy **ret_policy)
{
	ZS_CLEANUP(destroyp) struct zsd_policy *policy = zs_calloc(1, sizeof(*policy));
	int r;

	if (!policy)
		return -ENOMEM;
	policy->store = store;
	policy->frontend = frontend;
	policy->options = *options;
	policy->change_fd = -1;
	r = start(policy, event);
	if (r)
		return r;
	schedule(policy, WAITING, LOOK_USEC);
	*ret_policy = zs_take(policy);
	return 0;
}

void zsd_policy_destroy(struct zsd_policy *policy)
{
	if (!policy)
		return;
	zsd_frontend_watch_changes(policy->frontend, -1);
	sd_event_source_disable_unref(policy->timer);
	sd_event_source_disable_unref(policy->change);
	if (policy->change_fd >= 0)
		close(policy->change_fd);
	free(policy);
}

void zsd_policy_set_options(struct zsd_policy *policy, const struct zsd_policy_options *options)
{
	policy->options = *options;
	zsd_policy_changed(policy);
}

void zsd_policy_stats(const struct zsd_policy *policy, struct zsd_policy_stats *ret_stats)
{
	*ret_stats = policy ? policy->stats : (struct zsd_policy_stats){.state = ZSD_COMPACTION_OFF};
	if (policy)
		ret_stats->state = policy->state == RUNNING ? ZSD_COMPACTION_RUNNING : ZSD_COMPACTION_IDLE;
}
