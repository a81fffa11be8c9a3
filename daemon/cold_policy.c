/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When cold data is recompressed and written back by itself.
 *
 *   state     next                            by
 *   ASLEEP    WAITING                         the first request
 *   WAITING   WAITING, ASLEEP                 the timer: a look a second after that, and as long as there is something
 *                                             to wait for
 *
 * Idle blocks are looked for each half of the time after which they are idle, and a last time when all that was
 * accessed before the last request must be idle. While nothing can be written that waits until something can.
 */

#include "cold_policy_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "config.h"
#include "frontend.h"
#include "pressure.h"
#include "store/age.h"
#include "store/cold.h"

#define LOOK_USEC USEC_PER_SEC
/* Ages are told apart by ticks; the last one counts when it is over. */
#define SLACK_USEC (2 * ZS_TICK_SEC * USEC_PER_SEC)
/* zs_store_age() wants to be done every two days; a long time is safe and still costs nothing. */
#define AGE_USEC (24 * 3600 * USEC_PER_SEC)
/* At a look: some milliseconds, in which others wait. */
#define AGE_BLOCKS (UINT64_C(1) << 20)

/* Between two times that the file is tidied up. */
#define TIDY_USEC (5 * USEC_PER_SEC)

#define IDLE_SHARE_PERCENT 20

/*
 * idle
 */

/* When blocks that become idle after so many seconds are looked for again; 0: not before somebody uses them. */
static uint64_t next_look(const struct zsd_cold_policy *policy, uint64_t idle_sec, uint64_t looked_usec)
{
	uint64_t last_usec = policy->active_usec + idle_sec * USEC_PER_SEC + SLACK_USEC;

	if (!idle_sec || looked_usec >= last_usec)
		return 0;
	return zs_min(looked_usec + zs_max(idle_sec * USEC_PER_SEC / 2, SLACK_USEC), last_usec);
}

void zsd_cold_look_at_idle(struct zsd_cold_policy *policy)
{
	const struct zsd_task_writeback wanted = {.type = ZS_WRITEBACK_IDLE, .idle_sec = policy->options.idle_sec};
	struct zsd_chore *chore = &policy->idle;

	if (!zsd_cold_is_due(policy, chore) || !policy->options.idle_sec)
		return;
	if (!zsd_cold_can_write(policy))
		chore->next_usec = zsd_cold_next_write_usec(policy);
	else if (zsd_cold_write_back(policy, chore, ZSD_REASON_IDLE, &wanted))
		chore->next_usec = next_look(policy, policy->options.idle_sec, policy->now_usec) ?: UINT64_MAX;
}

/* Returns 0, or an error after which the round goes on later. */
static int recompress_device(struct zsd_cold_policy *policy, uint64_t id)
{
	struct zs_recompress_request request = {.types = ZS_RECOMPRESS_IDLE, .age_sec = policy->options.recompress_sec};
	int r = zsd_cold_recompress(policy, &policy->recompress, ZSD_REASON_IDLE, id, &request, IDLE_SHARE_PERCENT);

	return r == -ENODEV || r == -EOPNOTSUPP ? 0 : r;
}

static void look_at_recompression(struct zsd_cold_policy *policy)
{
	unsigned int cursor = policy->recompress_cursor, next = cursor;
	uint64_t now = policy->now_usec, id;

	if (!policy->options.recompress_sec || !zsd_cold_is_due(policy, &policy->recompress))
		return;
	while (zs_store_next(policy->store, &next, &id)) {
		/* Too many tasks wait: this one is the first when they are done. */
		if (recompress_device(policy, id)) {
			policy->recompress_cursor = cursor;
			policy->recompress.next_usec = now + LOOK_USEC;
			return;
		}
		cursor = next;
	}
	policy->recompress_cursor = 0;
	policy->recompress.next_usec = next_look(policy, policy->options.recompress_sec, now) ?: UINT64_MAX;
}

/* What was discarded or overwritten is dead in the file now. */
static void look_at_file(struct zsd_cold_policy *policy)
{
	if (policy->now_usec < policy->tidied_usec + TIDY_USEC)
		return;
	zsd_tasks_tidy(policy->tasks);
	policy->tidied_usec = policy->now_usec;
	policy->tidied_all = policy->active_usec + TIDY_USEC < policy->tidied_usec;
}

/* When a walk is amid the blocks it goes on with the next look. */
static void look_at_ages(struct zsd_cold_policy *policy)
{
	if (policy->now_usec >= policy->age_usec && !zs_store_age(policy->store, &policy->age_walk, AGE_BLOCKS))
		policy->age_usec = policy->now_usec + AGE_USEC;
}

/*
 * looks
 */

static void take_time(struct zsd_cold_policy *policy)
{
	policy->now_usec = zs_clock_nsec() / 1000;
}

static void schedule(struct zsd_cold_policy *policy, uint64_t at_usec)
{
	uint64_t delay = at_usec > policy->now_usec ? at_usec - policy->now_usec : 0;

	sd_event_source_set_time(policy->timer, policy->now_usec + delay);
	sd_event_source_set_time_accuracy(policy->timer, zs_max(zs_min(delay / 4, LOOK_USEC), 1));
	sd_event_source_set_enabled(policy->timer, SD_EVENT_ONESHOT);
}

/* The next look is not later than that; whoever says so again and again doesn't put it off. */
static void hasten(struct zsd_cold_policy *policy, uint64_t at_usec)
{
	uint64_t usec = UINT64_MAX;

	sd_event_source_get_time(policy->timer, &usec);
	if (usec > at_usec)
		schedule(policy, at_usec);
}

/* What was done may not be enough, or end before it is, or other devices may still be above. */
static bool goes_on(const struct zsd_cold_policy *policy)
{
	return policy->pool.task || policy->pool.compacted_pages || policy->device.task || policy->group.task ||
	       policy->pressed_goal_bytes;
}

/* When there may be something to do although nobody uses the data. */
static uint64_t next_usec(const struct zsd_cold_policy *policy, bool has_backing)
{
	uint64_t next = policy->age_usec;

	if (policy->options.recompress_sec)
		next = zs_min(next, policy->recompress.next_usec);
	if (has_backing && policy->options.idle_sec)
		next = zs_min(next, policy->idle.next_usec);
	if (policy->idle.task)
		next = zs_min(next, policy->now_usec + TIDY_USEC);
	if (goes_on(policy))
		next = policy->now_usec;
	if (has_backing && !policy->tidied_all)
		next = zs_min(next, policy->tidied_usec + TIDY_USEC);
	return zs_max(next, policy->now_usec + LOOK_USEC);
}

static void look(struct zsd_cold_policy *policy)
{
	bool has_backing = zs_store_backing(policy->store) != NULL;

	take_time(policy);
	if (!policy->watches)
		zsd_frontend_watch_activity(policy->frontend, ZSD_WATCHER_COLD, policy->activity_fd);
	policy->watches = true;
	/* First this: a midnight that passes during the look brings another one. */
	zsd_cold_await_refill(policy);
	zsd_cold_look_at_limits(policy);
	zsd_cold_look_at_pressure(policy);
	if (has_backing) {
		zsd_cold_look_at_idle(policy);
		look_at_file(policy);
	}
	look_at_recompression(policy);
	look_at_ages(policy);
	schedule(policy, next_usec(policy, has_backing));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	look(userdata);
	return 0;
}

/* Somebody uses the data. */
static int on_activity(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct zsd_cold_policy *policy = userdata;
	uint64_t count, now;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	take_time(policy);
	now = policy->now_usec;
	policy->watches = false;
	policy->active_usec = now;
	policy->tidied_all = false;
	policy->idle.next_usec = zs_min(policy->idle.next_usec,
					now + zs_max(policy->options.idle_sec * USEC_PER_SEC / 2, LOOK_USEC));
	policy->recompress.next_usec = zs_min(
		policy->recompress.next_usec,
		now + zs_max(policy->options.recompress_sec * USEC_PER_SEC / 2, LOOK_USEC));
	schedule(policy, now + LOOK_USEC);
	return 0;
}

/* Memory is short; or the control group is gone, and nothing tells any more. */
static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	if (events & EPOLLERR)
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	take_time(userdata);
	if (zsd_cold_pressed(userdata))
		look(userdata);
	return 0;
}

/* A day's budget begins anew; or the clock was set, and who knows when it does now. */
static int on_midnight(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != ECANCELED)
		return -errno;
	zsd_cold_policy_changed(userdata);
	return 0;
}

/*
 * life
 */

static int start(struct zsd_cold_policy *policy, sd_event *event)
{
	int r;

	policy->activity_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	policy->midnight_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (policy->activity_fd < 0 || policy->midnight_fd < 0)
		return -errno;
	r = sd_event_add_io(event, &policy->activity, policy->activity_fd, EPOLLIN, on_activity, policy);
	if (r >= 0)
		r = sd_event_add_io(event, &policy->midnight, policy->midnight_fd, EPOLLIN, on_midnight, policy);
	if (r >= 0)
		r = sd_event_add_time(event, &policy->timer, CLOCK_MONOTONIC, 0, 0, on_timer, policy);
	if (r < 0)
		return r;
	policy->pressure_fd = zsd_pressure_open();
	if (policy->pressure_fd >= 0)
		r = sd_event_add_io(event, &policy->pressure, policy->pressure_fd, EPOLLPRI, on_pressure, policy);
	return r < 0 ? r : 0;
}

static void destroyp(struct zsd_cold_policy **policy)
{
	zsd_cold_policy_destroy(*policy);
}

static void number_chores(struct zsd_cold_policy *policy)
{
	struct zsd_chore *const chores[ZSD_CHORES] = {
		&policy->idle, &policy->recompress, &policy->pool, &policy->pressed, &policy->device, &policy->group,
	};

	for (unsigned int i = 0; i < ZSD_CHORES; i++)
		chores[i]->number = i;
}

int zsd_cold_policy_create(sd_event *event, struct zs_store *store, struct zsd_frontend *frontend,
			   struct zsd_tasks *tasks, const struct zsd_cold_options *options,
			   struct zsd_cold_policy **ret_policy)
{
	ZS_CLEANUP(destroyp) struct zsd_cold_policy *policy = zs_calloc(1, sizeof(*policy));
	int r;

	if (!policy)
		return -ENOMEM;
	number_chores(policy);
	policy->store = store;
	policy->frontend = frontend;
	policy->tasks = tasks;
	policy->options = *options;
	policy->activity_fd = policy->pressure_fd = policy->midnight_fd = -1;
	policy->idle.next_usec = policy->recompress.next_usec = UINT64_MAX;
	r = start(policy, event);
	if (r)
		return r;
	look(policy);
	*ret_policy = zs_take(policy);
	return 0;
}

struct zsd_cold_options zsd_cold_options_of(const struct zsd_config *config)
{
	return (struct zsd_cold_options){
		.recompress_sec = config->recompress_sec,
		.idle_sec = config->writeback.idle_sec,
		.start_percent = config->writeback.start_percent,
		.stop_percent = config->writeback.stop_percent,
		.compacts = config->compact,
	};
}

void zsd_cold_policy_set_options(struct zsd_cold_policy *policy, const struct zsd_cold_options *options)
{
	bool compacts = policy->options.compacts;

	policy->options = *options;
	policy->options.compacts = compacts;
	zsd_cold_policy_changed(policy);
}

void zsd_cold_policy_changed(struct zsd_cold_policy *policy)
{
	take_time(policy);
	policy->was_full = false;
	/* What is idle, or near a limit, now may not have been before. */
	zsd_cold_begin_round(policy, &policy->pool);
	zsd_cold_begin_round(policy, &policy->device);
	zsd_cold_begin_round(policy, &policy->group);
	policy->idle.next_usec = zs_min(policy->idle.next_usec, policy->now_usec + LOOK_USEC);
	policy->recompress.next_usec = zs_min(policy->recompress.next_usec, policy->now_usec + LOOK_USEC);
	hasten(policy, policy->now_usec + LOOK_USEC);
}

void zsd_cold_policy_destroy(struct zsd_cold_policy *policy)
{
	if (!policy)
		return;
	zsd_frontend_watch_activity(policy->frontend, ZSD_WATCHER_COLD, -1);
	sd_event_source_disable_unref(policy->timer);
	sd_event_source_disable_unref(policy->activity);
	sd_event_source_disable_unref(policy->pressure);
	sd_event_source_disable_unref(policy->midnight);
	if (policy->activity_fd >= 0)
		close(policy->activity_fd);
	if (policy->pressure_fd >= 0)
		close(policy->pressure_fd);
	if (policy->midnight_fd >= 0)
		close(policy->midnight_fd);
	free(policy);
}
