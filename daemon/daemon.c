/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon: start in order, run, stop in the reverse order.
 *
 *   lock -> configuration -> store, backing file and frontend -> configured devices -> mount -> transport -> control
 *        -> READY
 *
 * Each step that fails says what, why, and what to do, in one line; then everything before it is undone. Signals that
 * end the daemon are blocked before the first thread is started, and read by the event loop.
 */

#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "backing.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "changes.h"
#include "cold_policy.h"
#include "config.h"
#include "control.h"
#include "frontend.h"
#include "memory.h"
#include "mount_point.h"
#include "nodes.h"
#include "notify.h"
#include "paths.h"
#include "policy.h"
#include "reload.h"
#include "service_internal.h"
#include "status.h"
#include "tasks.h"
#include "store/group.h"
#include "threads.h"
#include "transport.h"
#include "watchdog.h"

#define SOCKET_NAME	    "io.zsd.control"
#define METRICS_SOCKET_NAME "io.zsd.metrics"

static int fail(int r, const char *what, const char *remedy)
{
	zs_log(ZS_LOG_ERR, "%s: %s%s%s", what, strerror(-r), remedy ? "; " : "", remedy ? remedy : "");
	return r;
}

/* runtime directory */

static int resolve_runtime_dir(const char *wanted, char **ret_path)
{
	ZS_CLEANUP_FREE char *path = NULL;
	int r = zsd_path_runtime(wanted, &path);

	if (r == -ENOENT) {
		zs_log(ZS_LOG_ERR, "no runtime directory: $XDG_RUNTIME_DIR is not set; give one with --runtime-dir");
		return r;
	}
	if (!r)
		r = zsd_path_resolve(path, ret_path);
	return r ? fail(r, path ? path : "runtime directory", "choose another one with --runtime-dir") : 0;
}

static int lock_runtime_dir(struct zsd_service *service)
{
	pid_t owner = 0;
	int r = zsd_runtime_lock(service->runtime_dir, &service->lock_fd, &owner);

	if (r == -EBUSY) {
		zs_log(ZS_LOG_ERR, "%s is in use by another zsd (process %d); stop it, or choose another --runtime-dir",
		       service->runtime_dir, (int)owner);
		return r;
	}
	return r ? fail(r, service->runtime_dir, "choose another one with --runtime-dir") : 0;
}

/* configuration */

static int load_config(struct zsd_service *service, const struct zsd_options *options)
{
	int r = zsd_path_chosen_config(options->config_path, options->no_config, &service->config_path);

	if (r)
		return fail(r, "configuration", NULL);
	service->config_must_exist = options->config_path;
	r = zsd_config_load(service->config_path, service->config_must_exist, &service->config);
	if (r)
		return fail(r, service->config_path ?: "configuration", "correct it, or start with --no-config");
	zsd_notify_log(service->config->log_level);
	atomic_store(&service->facts.reloaded_sec, service->started_usec / 1000000);
	return 0;
}

/* store */

/* Whoever limits the threads that serve requests limits the CPUs that one request may have, too. */
static unsigned int count_request_cpus(const struct zsd_service *service, const struct zsd_options *options)
{
	unsigned int nr_cpus = zsd_threads_default(ZSD_THREADS_MAX);
	unsigned int nr_threads = options->nr_threads ? options->nr_threads : service->config->nr_threads;

	return nr_threads ? (unsigned int)zs_min(nr_threads, nr_cpus) : nr_cpus;
}

static int create_store(struct zsd_service *service, const struct zsd_options *wanted)
{
	struct zs_store_options options = {.memory_limit_bytes = service->config->memory_limit_bytes};
	int r;

	if (!options.memory_limit_bytes)
		options.memory_limit_bytes = zsd_memory_default_limit();
	if (service->config->accounting)
		options.account.nr_nodes = zsd_nodes_accounted();
	zs_arena_options_default(&options.arena, 0);
	options.arena.pool_per_device = service->config->pool_per_device;
	if (wanted->pool_mode)
		zs_assert(zsd_pool_mode_parse(wanted->pool_mode, &options.arena.pool_per_device) == 0);
	r = zs_store_create(&options, &service->store);
	if (r)
		return fail(r, "can't reserve address space for the store", "check 'ulimit -v'");
	r = zs_store_start_maintenance(service->store);
	if (r)
		return fail(r, "can't start the maintenance thread", "check 'ulimit -u'");
	r = zsd_changes_create(service->started_usec, &service->changes);
	if (!r)
		r = zsd_tasks_create(service->store, &service->tasks);
	service->facts.tasks = service->tasks;
	if (!r)
		r = zsd_frontend_create(service->store, &service->frontend);
	if (r)
		return fail(r, "can't start", NULL);
	zsd_frontend_set_facts(service->frontend, &service->facts);
	r = zsd_frontend_start_helpers(service->frontend, count_request_cpus(service, wanted));
	return r ? fail(r, "can't start the helper threads", "check 'ulimit -u'") : 0;
}

/* Before the mount: nobody serves that yet, and whoever looks at it would wait for ever. */
static int attach_backing(struct zsd_service *service)
{
	const struct zsd_config *config = service->config;
	ZS_CLEANUP_FREE char *mount_point = NULL;
	int r;

	if (!config->writeback.path)
		return 0;
	r = zsd_mount_point_choose(service->runtime_dir, config->mount_point, &mount_point);
	if (!r)
		r = zsd_backing_attach(service->store, &config->writeback, mount_point);
	if (!r)
		zsd_frontend_set_backing(service->frontend, config->error_when_full ? NULL : service->tasks);
	return r;
}

/* Their limits hold before there is data. */
static int add_configured_groups(struct zsd_service *service)
{
	for (size_t i = 0; i < service->config->nr_groups; i++) {
		const struct zsd_config_group *group = &service->config->groups[i];
		int r = zs_store_add_group(service->store, group->name, group->memory_limit_bytes);

		if (r)
			return fail(r, group->name, "the configuration has too many [Group] sections");
	}
	return 0;
}

/* A device that can't be added is left out: one mistake must not take all the others away. */
static void add_configured_devices(struct zsd_service *service)
{
	unsigned int nr_left_out = (unsigned int)service->config->nr_refused;

	for (size_t i = 0; i < service->config->nr_devices; i++) {
		const struct zs_device_options *options = &service->config->devices[i];
		enum zs_device_field field = ZS_FIELD_NONE;
		uint64_t id;
		int r = zsd_service_add(service, options, &field, &id);

		if (!r)
			continue;
		nr_left_out++;
		zs_log_event(ZS_EVENT_DEVICE_LEFT_OUT, ZS_LOG_ERR, options->name, r,
			     "configured device %s was left out: %s", options->name, strerror(-r));
	}
	atomic_store(&service->facts.left_out, nr_left_out);
}

/* mount */

/* The service manager's helper has mounted already, or we do it. */
static int mount_devices(struct zsd_service *service)
{
	ZS_CLEANUP_FREE char *path = NULL;
	int r = zsd_mount_point_choose(service->runtime_dir, service->config->mount_point, &path);

	if (r)
		return r;
	if (service->handover.fuse_fd < 0)
		return zsd_mount_point_open(path, &service->mount);
	r = zsd_mount_adopt(path, zs_take_fd(service->handover.fuse_fd), &service->mount);
	if (r)
		return fail(r, "can't start", NULL);
	/* Ours alone: when we are gone the connection is to end, and not to wait for a successor without the data. */
	zsd_notify("FDSTOREREMOVE=1\nFDNAME=" ZSD_HANDOVER_FUSE);
	return 0;
}

/* In place of a connection that was promised to io_uring, in vain. */
static int mount_again(struct zsd_service *service)
{
	ZS_CLEANUP_FREE char *path = strdup(service->mount.path);
	int r = path ? zsd_mount_detach(&service->mount) : -ENOMEM;

	if (r)
		return fail(r, service->mount.path, "can't mount once more; start with --transport=classic");
	/* Whoever has looked at it meanwhile gets an error, and waits no more. */
	zsd_mount_close(&service->mount);
	return zsd_mount_point_open(path, &service->mount);
}

/* As zsd_transport_create(), but for -ECONNRESET. -EOPNOTSUPP: also what mounting once more has logged. */
static int create_transport(struct zsd_service *service, struct zsd_transport_options *options)
{
	int r = zsd_transport_create(options, &zsd_store_frontend_ops, service->frontend, &service->transport);

	if (r != -ECONNRESET)
		return r;
	if (mount_again(service))
		return -EOPNOTSUPP;
	options->fuse_fd = service->mount.fuse_fd;
	options->kind = ZSD_TRANSPORT_CLASSIC;
	return zsd_transport_create(options, &zsd_store_frontend_ops, service->frontend, &service->transport);
}

static int start_transport(struct zsd_service *service, const struct zsd_options *options)
{
	struct zsd_transport_options transport = {
		.fuse_fd = service->mount.fuse_fd,
		.nr_threads = options->nr_threads ? options->nr_threads : service->config->nr_threads,
		.may_wait = service->config->writeback.path != NULL,
		.may_remount = service->mount.is_ours,
		.kind = options->transport >= 0 ? (enum zsd_transport_kind)options->transport
						: service->config->transport,
		.poll_max_nsec = options->has_poll_max ? options->poll_max_nsec : service->config->poll_max_nsec,
	};
	char text[ZSD_TRANSPORT_TEXT_BYTES];
	int r;

	if (!transport.nr_threads)
		transport.nr_threads = zsd_threads_default(ZSD_THREADS_MAX);
	r = create_transport(service, &transport);
	if (r == -EOPNOTSUPP)
		return r;
	if (r)
		return fail(r, "can't serve the mount", "try fewer --threads");
	zs_log(ZS_LOG_INFO, "serving %s with %s, for %s", service->mount.path,
	       zsd_transport_describe(service->transport, text),
	       service->mount.for_all ? "all users" : "this user only");
	return 0;
}

/* control */

/* *fd is consumed on success. */
static int open_door(struct zsd_service *service, enum zsd_door door, int *fd, const char *name,
		     struct zsd_control **ret_control)
{
	ZS_CLEANUP_FREE char *path = NULL;
	int r = zsd_path_join(service->runtime_dir, name, &path);

	if (r)
		return fail(r, "can't start", NULL);
	r = zsd_control_create(service->event, service, door, *fd, path, ret_control);
	if (!r)
		*fd = -1;
	return r;
}

static int start_control(struct zsd_service *service)
{
	struct zsd_handover *handover = &service->handover;
	int r = open_door(service, ZSD_DOOR_CONTROL, &handover->control_fd, SOCKET_NAME, &service->control);

	return r ? r
		 : open_door(service, ZSD_DOOR_METRICS, &handover->metrics_fd, METRICS_SOCKET_NAME, &service->metrics);
}

/* events */

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	zs_log_event(ZS_EVENT_STOPPING, ZS_LOG_INFO, NULL, 0, "stopping: %s",
		     info->ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* What 'zsctl reload' does, without anybody to tell it to; the log has what is wrong. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	json_t *report = NULL, *messages = NULL;
	int r = zsd_reload(userdata, &report, &messages);

	zs_log(ZS_LOG_NOTICE, "SIGHUP: configuration %s", r ? "refused, nothing is changed" : "read again");
	json_decref(report);
	json_decref(messages);
	return 0;
}

static int on_transport_ended(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	const struct zsd_service *service = userdata;
	bool failed = zsd_transport_has_failed(service->transport);

	if (failed)
		zs_log(ZS_LOG_ERR,
		       "stopping: requests can't be answered any more; start again, with --transport=classic");
	else
		zs_log_event(ZS_EVENT_STOPPING, ZS_LOG_NOTICE, NULL, 0, "stopping: the file system has been unmounted");
	return sd_event_exit(sd_event_source_get_event(source), failed);
}

static int create_event_loop(struct zsd_service *service)
{
	int r = sd_event_new(&service->event);

	if (r >= 0)
		r = sd_event_add_signal(service->event, NULL, SIGTERM, on_stop_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(service->event, NULL, SIGINT, on_stop_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(service->event, NULL, SIGHUP, on_hangup, service);
	return r < 0 ? fail(r, "can't make the event loop", NULL) : 0;
}

static int start_cold_policy(struct zsd_service *service)
{
	const struct zsd_cold_options options = zsd_cold_options_of(service->config);

	return zsd_cold_policy_create(service->event, service->store, service->frontend, service->tasks, &options,
				      &service->cold_policy);
}

static int watch(struct zsd_service *service)
{
	int fd = zsd_transport_ended_fd(service->transport);
	int r = sd_event_add_io(service->event, NULL, fd, EPOLLIN, on_transport_ended, service);

	if (r >= 0 && zsd_notify_is_wanted())
		r = zsd_status_create(service->event, service, &service->status);
	if (r >= 0 && service->config->compact)
		r = zsd_policy_create(service->event, service->store, service->frontend, &service->config->policy,
				      &service->policy);
	if (r >= 0)
		r = start_cold_policy(service);
	if (r >= 0)
		r = zsd_watchdog_create(service->event, service->transport, &service->watchdog);
	return r < 0 ? fail(r, "can't watch the mount", NULL) : 0;
}

static void prepare_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	/* A client that goes away is an errno of the write. */
	signal(SIGPIPE, SIG_IGN);
}

/* life */

static int start(struct zsd_service *service, const struct zsd_options *options)
{
	int r = resolve_runtime_dir(options->runtime_dir, &service->runtime_dir);

	if (!r)
		r = lock_runtime_dir(service);
	if (!r)
		r = load_config(service, options);
	if (r)
		return r;
	prepare_signals();
	zsd_memory_prepare_process();
	r = zsd_notify_take_handover(&service->handover);
	if (r)
		return fail(r, "can't take the descriptors of the service manager", NULL);
	r = create_event_loop(service);
	if (!r)
		r = create_store(service, options);
	if (!r)
		r = attach_backing(service);
	if (!r)
		r = add_configured_groups(service);
	if (r)
		return r;
	add_configured_devices(service);
	r = mount_devices(service);
	if (!r)
		r = start_transport(service, options);
	if (!r)
		r = start_control(service);
	return r ? r : watch(service);
}

/* Also of a service that was started in part. */
static void stop(struct zsd_service *service)
{
	int r;

	zsd_control_destroy(service->metrics);
	zsd_control_destroy(service->control);
	zsd_watchdog_destroy(service->watchdog);
	if (service->mount.path) {
		r = zsd_mount_detach(&service->mount);
		if (r)
			fail(r, service->mount.path, "can't unmount; use 'umount -l'");
	}
	if (service->frontend)
		zsd_frontend_stop_waiting(service->frontend);
	if (service->tasks)
		zsd_tasks_stop(service->tasks);
	if (service->transport)
		zsd_transport_destroy(service->transport);
	/* Their eventfds are written to by the transport's threads. */
	zsd_policy_destroy(service->policy);
	zsd_cold_policy_destroy(service->cold_policy);
	zsd_status_destroy(service->status);
	if (service->mount.path)
		zsd_mount_close(&service->mount);
	zsd_frontend_destroy(service->frontend);
	zsd_tasks_destroy(service->tasks);
	zsd_changes_destroy(service->changes);
	if (service->store)
		zs_store_close(service->store);
	sd_event_unref(service->event);
	zsd_notify_drop_handover(&service->handover);
	zsd_config_free(service->config);
	free(service->config_path);
	if (service->lock_fd >= 0)
		close(service->lock_fd);
	free(service->runtime_dir);
}

static void announce(const struct zsd_service *service)
{
	struct zs_store_stats stats;
	char limit[ZS_SIZE_TEXT_BYTES];

	zs_store_stats(service->store, &stats);
	zs_log_event(ZS_EVENT_READY, ZS_LOG_INFO, NULL, 0, "ready: %llu device%s, memory limit %s",
		     (unsigned long long)stats.nr_devices, stats.nr_devices == 1 ? "" : "s",
		     zs_size_format(stats.heap.limit_bytes, limit));
	zsd_notify("READY=1");
}

int zsd_daemon_run(const struct zsd_options *options)
{
	struct zsd_service service = {
		.lock_fd = -1,
		.handover = {.control_fd = -1, .metrics_fd = -1, .fuse_fd = -1},
		.mount = {.fuse_fd = -1, .id = -1},
	};
	int r;

	service.started_usec = (uint64_t)zsd_frontend_now_nsec() / 1000;
	r = start(&service, options);

	if (r) {
		zsd_notify("ERRNO=%d", -r);
		stop(&service);
		return r;
	}
	announce(&service);
	zsd_thread_set_patient();
	r = sd_event_loop(service.event);
	if (r < 0)
		fail(r, "the event loop failed", NULL);
	zsd_notify("STOPPING=1");
	stop(&service);
	/* 1: what failed has said so. */
	return r > 0 ? -EIO : r;
}
