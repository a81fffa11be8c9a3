#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of cold_policy.h share. */

#include "cold_policy.h"
#include "store/age.h"
#include "store/group.h"
#include "tasks.h"

#define USEC_PER_SEC UINT64_C(1000000)
/* After what was of no use. */
#define RETRY_USEC (60 * USEC_PER_SEC)

/* Through a table, from where the last one ended. */
struct zsd_round {
	unsigned int cursor, start;
	bool has_wrapped; /* what is left is up to the start */
	bool was_in_vain; /* something was done, and was of no use */
	uint64_t began_usec;
};

#define ZSD_CHORES 6

/* A thing that is done again and again. */
struct zsd_chore {
	unsigned int number; /* below ZSD_CHORES */
	uint64_t next_usec;  /* not before */
	uint64_t task;	     /* the last one, 0 = none */
	uint64_t device_id;  /* what it works on; 0 = all */
	/* Near a limit: what was recompressed, and is to be written back if that wasn't enough; 0 = nothing. */
	uint64_t recompressed;
	uint64_t began_usec;	  /* with recompressing it */
	uint64_t compacted_pages; /* not logged yet */
	struct zsd_round round;	  /* over the devices or groups */
	uint64_t turn;		  /* whose it is; 0 = the next one's */
	unsigned int member;	  /* a cursor: the next device of the group whose turn it is */
};

/* What was of no use for a device, and is not tried again for a while. */
struct zsd_rest {
	uint64_t device_id; /* of another one it says nothing */
	/* When recompression and writeback were in vain, by the chore's number; 0 = they were not the last time. */
	uint64_t began_usec[ZSD_CHORES][2];
};

/* A limit whose upper mark was passed, until the lower one is reached. */
struct zsd_mark {
	uint64_t id;	       /* of another one it says nothing */
	uint64_t passed_bytes; /* the upper mark; one that is higher now was not passed. 0 = none was */
};

struct zsd_cold_policy {
	struct zs_store *store;
	struct zsd_frontend *frontend;
	struct zsd_tasks *tasks;
	struct zsd_cold_options options;
	int activity_fd, pressure_fd, midnight_fd;
	sd_event_source *activity, *pressure, *midnight, *timer;
	uint64_t now_usec;    /* when this look began; nothing else asks for the time */
	bool watches;	      /* the next request tells */
	uint64_t active_usec; /* when the last request that we know of came */
	uint64_t age_usec;    /* when the next walk over all ages begins, or has begun */
	struct zs_age_walk age_walk;
	uint64_t tidied_usec;
	bool tidied_all; /* since the last request */
	struct zsd_chore idle, recompress, pool, pressed;
	struct zsd_chore device, group; /* of all devices with limits, and of all groups: one at a time */
	uint64_t pressed_goal_bytes;	/* what the pool is to come down to for that; 0 = memory isn't short */
	bool pressed_again;		/* it still is, or once more */
	uint64_t file_usec;		/* nothing can be written to the file before */
	bool was_full;			/* nor before there is room again */
	uint64_t full_usec;		/* when that was seen */
	unsigned int recompress_cursor; /* where the devices of this round go on; 0 = the next round begins */
	struct zsd_rest rests[ZS_DEVICES_MAX + 1]; /* by index of the device; the last one is of all */
	struct zsd_mark pool_mark, device_marks[ZS_DEVICES_MAX], group_marks[ZS_GROUPS_MAX]; /* by index */
};

/*
 * chores: cold_chore.c
 */

/* True if it may be done now: its last task is over, and what is to be learnt from that is known. */
bool zsd_cold_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore);

/* When the last such task for this device (0: all) was of no use for the chore; 0 = it was, or there was none. */
uint64_t zsd_cold_vain_usec(const struct zsd_cold_policy *policy, const struct zsd_chore *chore,
			    enum zsd_task_kind kind, uint64_t device_id);
/* True if that was lately. */
bool zsd_cold_rests(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
		    uint64_t device_id);
/* It has another turn as if it had never been of no use. */
void zsd_cold_end_rest(struct zsd_cold_policy *policy, const struct zsd_chore *chore, enum zsd_task_kind kind,
		       uint64_t device_id);
/* True if the chore may write back of this device (0: all). */
bool zsd_cold_can_write_of(const struct zsd_cold_policy *policy, const struct zsd_chore *chore, uint64_t device_id);

/* As zs_store_next(). */
typedef bool zsd_cold_next(struct zs_store *store, unsigned int *cursor, uint64_t *ret_id);
void zsd_cold_begin_round(const struct zsd_cold_policy *policy, struct zsd_chore *chore);
/* Who is next. False once everybody had a turn, until a round is begun: by a look, unless this one was in vain. */
bool zsd_cold_next_in_round(const struct zsd_cold_policy *policy, struct zsd_chore *chore, zsd_cold_next *next,
			    uint64_t *ret_id);

/* Starts a task. False if that fails; unless its device is gone, or many tasks wait, the chore is put off then. */
bool zsd_cold_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			 const struct zsd_task_writeback *wanted);

/*
 * Starts a task with the device's own codecs; the rest of the request is the caller's. Returns 0, -EOPNOTSUPP (it has
 * none), -ENODEV, or as zsd_tasks_recompress().
 */
int zsd_cold_recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			uint64_t id, struct zs_recompress_request *request, unsigned int share_percent);

/*
 * the file: cold_file.c
 */

/* Writing back is possible: there is a file, it has room and answered no error lately, and there is a budget left. */
bool zsd_cold_can_write(const struct zsd_cold_policy *policy);
/* If it isn't: when it may be if nobody does anything; UINT64_MAX: not before midnight, if ever. */
uint64_t zsd_cold_next_write_usec(const struct zsd_cold_policy *policy);
/* Wakes the policy at midnight, or when the clock is set, if there will be a budget then that there isn't now. */
void zsd_cold_await_refill(const struct zsd_cold_policy *policy);
/* A writeback has just ended with this. True if it is the file, or its budget, that is to blame. */
bool zsd_cold_note_file_error(struct zsd_cold_policy *policy, int error);

/*
 * steps: cold_step.c
 */

/*
 * Whether something may be started for the chore; ends a recompression that takes too long, or that there is no time
 * for any more, as any_pressing says.
 */
bool zsd_cold_step_is_due(struct zsd_cold_policy *policy, struct zsd_chore *chore,
			  bool (*any_pressing)(const struct zsd_cold_policy *policy));
/* At a look: it is the control thread that does it, and takes 2 ms at most. */
#define ZSD_COMPACT_PAGES 1024

/*
 * As the owner allows; returns the pages freed, fewer than ZSD_COMPACT_PAGES if there are no more to free. They are
 * counted, and logged when there is none.
 */
uint64_t zsd_cold_compact(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason);
void zsd_cold_log_compaction(struct zsd_chore *chore, enum zsd_task_reason reason);
/* True if it was started. turn says for whom, and is not 0: not twice without writing back in between. */
bool zsd_cold_step_recompress(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			      uint64_t turn, uint64_t device_id, uint64_t bytes);
/* True if it was started. Ends the turn. device_id 0: all. */
bool zsd_cold_step_write_back(struct zsd_cold_policy *policy, struct zsd_chore *chore, enum zsd_task_reason reason,
			      uint64_t device_id, uint64_t bytes);

/* Writes idle blocks back: cold_policy.c */
void zsd_cold_look_at_idle(struct zsd_cold_policy *policy);

/* Starts what pool, devices and groups need that are near their limits. */
void zsd_cold_look_at_limits(struct zsd_cold_policy *policy);

/*
 * shortness of memory: cold_pressure.c
 */

/* The system is short of memory. True if something is to be done. */
bool zsd_cold_pressed(struct zsd_cold_policy *policy);
/* Starts the next step. */
void zsd_cold_look_at_pressure(struct zsd_cold_policy *policy);
