#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cold policy under test: looks are made by the test, and its time passes by them alone. Whoever writes through
 * these tells the policy that data is used.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cold_policy_internal.h"
#include "store/device.h"
#include "support/cold_store.h"

#define BLOCK  ((size_t)4096)
#define BLOCKS ((size_t)512)
#define BYTES  (BLOCKS * BLOCK)

/* Of a limit: above StartAt, and where there is no time for recompression if anything can be written. */
#define NEAR	 70
#define PRESSING 95

struct zs_object;

extern struct zsd_tasks *tasks;
extern struct zsd_cold_policy *policy;
/* For a backing file. */
extern char test_policy_path[TEST_PATH_BYTES];

void test_policy_set_up(void);
void test_policy_tear_down(void);

/* Recompression waits as long as we like. */
void test_policy_hold(bool wanted);
void test_policy_wait_until_held(void);

/* percent: of its limit that is in use when it is full; 0: it has none. */
uint64_t test_policy_add(const char *name, unsigned int percent, const char *group, bool recompresses);
uint64_t test_policy_add_full(const char *name, unsigned int percent, bool recompresses);
/* Half of it is superfluous, which lz4 doesn't see: raw at first. */
void test_policy_write(uint64_t id, size_t bytes);
struct zs_device_stats test_policy_stats(uint64_t id);
bool test_policy_is_denser(uint64_t id);
/* All of the device's objects are in use, or not any more: nothing of it can be written back. */
void test_policy_pin(uint64_t id, struct zs_object *objects, bool pins);
void test_policy_set_budget(uint64_t remaining_bytes);

/* All tasks are over. */
void test_policy_wait(void);
/* A second after the last one. */
void test_policy_look(void);
/* As the timer has it done, by the clock; answers how long it is until the next time, if nobody uses the data. */
uint64_t test_policy_look_now(void);
/* Often, each time until what was started is over. */
void test_policy_look_on(void);
/* The same, but the recompression that the first look starts isn't over at the second one. */
void test_policy_look_on_held(void);
/* "R one, W all, ": recompressed and written back, in the order in which it was asked for. */
const char *test_policy_story(void);
