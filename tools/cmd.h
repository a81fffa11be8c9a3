#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of zsctl. Each one says on stderr what went wrong and answers the exit status. */

struct zsctl_options;

/* Exit statuses, as in zsctl(1). */
enum zsctl_exit {
	ZSCTL_OK = 0,
	ZSCTL_ERROR = 1,       /* the daemon refused, or failed */
	ZSCTL_USAGE = 2,       /* the command line is wrong */
	ZSCTL_UNREACHABLE = 3, /* no daemon answers */
	ZSCTL_NONE_FOUND = 32, /* there is no device of a name that was given; as lsblk(8) has it */
	ZSCTL_SOME_FOUND = 64, /* there is none of some of the names */
};

enum zsctl_exit cmd_add(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_ages(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_attach(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_backing(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_caches(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_cancel(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_classes(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_compact(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_config(const struct zsctl_options *options, char *const *words);
enum zsctl_exit cmd_detach(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_dictionaries(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_doctor(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_dump_config(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_group(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_groups(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_idle(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_iostat(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_list(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_log_level(const struct zsctl_options *options, char *const *words);
enum zsctl_exit cmd_metrics(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_monitor(const struct zsctl_options *options, char *const *words);
enum zsctl_exit cmd_mount(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_owners(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_recompress(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_reload(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_remove(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_reset(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_run(const struct zsctl_options *options, char *const *words);
enum zsctl_exit cmd_set(const struct zsctl_options *options, char *const *words);
enum zsctl_exit cmd_stats(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_status(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_tasks(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_top(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_train(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_umount(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_usage(const struct zsctl_options *options, char *const *names);
enum zsctl_exit cmd_writeback(const struct zsctl_options *options, char *const *names);
