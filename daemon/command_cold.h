#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods about blocks that are not in use. Context: the control thread only. */

#include "base/cleanup.h"
#include "store/store.h"
#include "store/train.h"
#include "varlink.h"

/* A part of the methods of io.zsd.control, see command.h. */
extern const struct zsd_method zsd_cold_methods[];

/* Some of them, in command_writeback.c. */
int zsd_command_writeback(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_backing(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_set_daily_limit(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_set_total_limit(struct zsd_call *call, struct zsd_answer *ret_answer);
/* Why a writeback has failed and what helps, where the errno alone would not say it; else NULL. */
const char *zsd_writeback_error(int error);

/* In command_train.c. */
int zsd_command_train(struct zsd_call *call, struct zsd_answer *ret_answer);
int zsd_command_dictionaries(struct zsd_call *call, struct zsd_answer *ret_answer);
/* What a training has found out so far; NULL if memory is short. */
json_t *zsd_report_training(const struct zs_train_progress *progress);
/* As zsd_writeback_error(). */
const char *zsd_training_error(int error);

/* The device that a call names. Returns 0; 1 if the call was refused in *ret_answer; or -ENOMEM. */
int zsd_command_borrow(struct zsd_call *call, struct zs_device **ret_device, struct zsd_answer *ret_answer);
/* The numbers of a call that can't be negative. Returns as zsd_command_borrow(). */
int zsd_command_check_numbers(const struct zsd_call *call, struct zsd_answer *ret_answer);
/* All tasks that can be told to start: the answer when one could not. */
int zsd_command_task_refused(struct zsd_answer *ret_answer, int error);

static inline void zsd_device_putp(struct zs_device **device)
{
	if (*device)
		zs_device_put(*device, NULL);
}

#define CLEANUP_DEVICE ZS_CLEANUP(zsd_device_putp)
