#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zsd.conf: read at start and upon a reload, validated as a whole, then plain data.
 *
 * What is wrong is logged with file and line. A bad [Device] section leaves out that device only, so that one typing
 * error doesn't take all disks away; an unknown section or key is a warning, so that one file serves several versions;
 * a bad value in [Daemon], [Pool] or [Group] refuses the file, since a daemon with another memory limit than the one
 * that was asked for is no help.
 *
 * Context: any thread; nothing is kept between calls.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "config_text.h"
#include "policy.h"
#include "store/store.h"
#include "transport.h"

#define ZSD_THREADS_MAX 256

struct zsd_config_group {
	char *name;
	uint64_t memory_limit_bytes; /* 0 = none */
};

#define ZSD_RECOMPRESS_AFTER_SEC (5 * 60)
#define ZSD_IDLE_AFTER_SEC	 (10 * 60)
#define ZSD_START_AT_PERCENT	 90
#define ZSD_STOP_AT_PERCENT	 80

/* [Writeback] */
struct zsd_config_writeback {
	char *path;		    /* Backing=, absolute; NULL = there is none */
	uint64_t size_bytes;	    /* Size=; 0 = as large as it gets */
	uint64_t day_bytes;	    /* DailyLimit=; 0 = none */
	uint64_t total_bytes;	    /* TotalLimit=; 0 = none */
	uint64_t batch_bytes;	    /* BatchSize= */
	uint64_t idle_sec;	    /* IdleAfter=; 0 = never */
	unsigned int start_percent; /* StartAt=, of the pool's limit */
	unsigned int stop_percent;  /* StopAt= */
	unsigned int promote_reads; /* PromoteAfter=; 0 = never */
	bool encrypt;		    /* Encrypt= */
};

struct zsd_config {
	unsigned int nr_threads;	   /* Threads=; 0 = one per CPU */
	enum zsd_transport_kind transport; /* Transport= */
	uint64_t poll_max_nsec;		   /* PollMax= */
	char *mount_point;		   /* MountPoint=, absolute; NULL = mnt in the runtime directory */
	enum zs_log_level log_level;	   /* LogLevel= */
	uint64_t memory_limit_bytes;	   /* MemoryLimit= of [Pool]; 0 = the daemon's default */
	bool pool_per_device;		   /* PoolMode= */
	bool compact;			   /* Compact= */
	struct zsd_policy_options policy;  /* CompactThreshold=, CompactQuota= */
	bool accounting;		   /* Accounting= of [Pool] */
	bool error_when_full;		   /* OnFull=error */
	uint64_t recompress_sec;	   /* RecompressAfter=; 0 = never */
	struct zsd_config_writeback writeback;
	size_t nr_groups;		   /* entries of groups */
	struct zsd_config_group *groups;   /* in the order of the file */
	size_t nr_devices;		   /* entries of devices */
	struct zs_device_options *devices; /* in the order of the file; the strings are the config's */
	struct zsd_config_text text;	   /* where all this comes from */
	size_t nr_refused;		   /* [Device] sections left out because of a bad value */
};

/*
 * Reads a file and its drop-ins; a missing one is an empty one unless must_exist. path NULL gives the defaults.
 * Returns 0, -ENOENT, -EINVAL (syntax, or a bad value outside of [Device]), -ENOMEM, or an errno of open(2).
 */
int zsd_config_load(const char *path, bool must_exist, struct zsd_config **ret_config);
/* Whether the keys of [Writeback] agree; else -EINVAL and a reason. */
int zsd_config_check_writeback(const struct zsd_config_writeback *writeback, char *reason, size_t size);
/* NULL is allowed. */
void zsd_config_free(struct zsd_config *config);

/* "singleton" or "per-device", and back. Returns 0 or -EINVAL. */
int zsd_pool_mode_parse(const char *text, bool *ret_per_device);
const char *zsd_pool_mode_name(bool per_device);
