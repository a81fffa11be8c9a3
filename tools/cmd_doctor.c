/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor and dump-config */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client.h"
#include "options.h"
#include "output.h"
#include "request.h"

#define LINE_BYTES	4096
#define PROBE_TRIES	100 /* 2 seconds */
#define PROBE_NSEC	20000000
#define MEMLOCK_MIN_MIB 64
/* user_allow_other and the clones of /dev/fuse are older than this; what the test machines run is newer. */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 10

enum state { OK, NOTE, BAD };

struct report {
	json_t *checks;
	bool failed;
	bool no_memory;
};

/* remedy "" where there is none to be had. */
static void add(struct report *report, const char *name, enum state state, const char *message, const char *remedy)
{
	static const char *const states[] = {"ok", "note", "bad"};
	json_t *check = json_pack("{s:s, s:s, s:s}", "check", name, "state", states[state], "message", message);

	if (check && *remedy)
		json_object_set_new(check, "remedy", json_string(remedy));
	report->no_memory |= json_array_append_new(report->checks, check) != 0;
	report->failed |= state == BAD;
}

/* The first line of a file; false if there is none. */
static bool first_line(const char *path, char line[static LINE_BYTES])
{
	FILE *stream = fopen(path, "re");
	bool found = stream && fgets(line, LINE_BYTES, stream);

	if (stream)
		fclose(stream);
	return found;
}

/*
 * checks
 */

static void check_kernel(struct report *report)
{
	int major = 0, minor = 0;
	struct utsname name;
	char message[128];

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	snprintf(message, sizeof(message), "Linux %.64s", name.release);
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		add(report, "kernel", OK, message, "");
	else
		add(report, "kernel", BAD, message, "use Linux 5.10 or newer");
}

static void check_fuse(struct report *report)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		add(report, "fuse", OK, "/dev/fuse can be opened", "");
	} else if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
		add(report, "fuse", BAD, "there is no /dev/fuse", "load the kernel module: modprobe fuse");
	} else {
		add(report, "fuse", BAD, "/dev/fuse can't be opened by this user",
		    "let all users open it (mode 0666), as udev does");
	}
}

static bool fuse_conf_allows_other(void)
{
	FILE *stream = fopen("/etc/fuse.conf", "re");
	char line[LINE_BYTES];
	bool found = false;

	while (stream && !found && fgets(line, sizeof(line), stream))
		found = strncmp(line + strspn(line, " \t"), "user_allow_other", 16) == 0;
	if (stream)
		fclose(stream);
	return found;
}

static void check_fuse_conf(struct report *report)
{
	if (access("/usr/bin/fusermount3", X_OK) && access("/bin/fusermount3", X_OK))
		add(report, "fusermount3", geteuid() ? BAD : NOTE, "fusermount3 is not installed; users can't mount",
		    "install the package fuse3");
	else
		add(report, "fusermount3", OK, "users can mount", "");
	if (fuse_conf_allows_other())
		add(report, "fuse.conf", OK, "a user's devices can be opened by others", "");
	else
		add(report, "fuse.conf", NOTE, "a user's devices can be opened by that user only",
		    "add the line user_allow_other to /etc/fuse.conf, if others shall open them");
}

static void check_uring(struct report *report)
{
	char line[LINE_BYTES];

	if (first_line("/proc/sys/kernel/io_uring_disabled", line) && *line != '0')
		add(report, "io_uring", NOTE, "io_uring is disabled", "sysctl kernel.io_uring_disabled=0");
	else
		add(report, "io_uring", OK, "io_uring can be used", "");
	if (!first_line("/sys/module/fuse/parameters/enable_uring", line))
		add(report, "fuse over io_uring", NOTE, "this kernel has none", "it came with Linux 6.14");
	else if (*line == 'Y')
		add(report, "fuse over io_uring", OK, "is enabled", "");
	else
		add(report, "fuse over io_uring", NOTE, "is not enabled",
		    "echo Y >/sys/module/fuse/parameters/enable_uring, and Transport=uring in zsd.conf");
}

static void check_propagation(struct report *report)
{
	FILE *stream = fopen("/proc/self/mountinfo", "re");
	char line[LINE_BYTES], where[LINE_BYTES];
	bool shared = false;

	while (stream && fgets(line, sizeof(line), stream)) {
		if (sscanf(line, "%*d %*d %*s %*s %4095s", where) == 1 && strcmp(where, "/") == 0)
			shared = strstr(line, " shared:");
	}
	if (stream)
		fclose(stream);
	if (shared)
		add(report, "mount propagation", OK, "mounts made here are seen everywhere", "");
	else
		add(report, "mount propagation", NOTE, "mounts made here are seen in this mount namespace only",
		    "mount --make-rshared /, outside of containers");
}

static void check_memlock(struct report *report)
{
	struct rlimit limit;
	char message[128];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY) {
		add(report, "memlock", OK, "memory can be locked without a limit", "");
		return;
	}
	snprintf(message, sizeof(message), "%llu KiB of memory can be locked",
		 (unsigned long long)limit.rlim_cur / 1024);
	if (limit.rlim_cur >= (rlim_t)MEMLOCK_MIN_MIB << 20 || geteuid() == 0)
		add(report, "memlock", OK, message, "");
	else
		add(report, "memlock", NOTE, message, "raise 'ulimit -l', or LimitMEMLOCK= of the unit");
}

/* True if there is no server behind a mount. The child can be killed if the server does not answer. */
static bool is_dead(const char *path, bool *ret_silent)
{
	const struct timespec pause = {.tv_nsec = PROBE_NSEC};
	struct statfs answer;
	pid_t child = fork(), ended = 0;
	int status = 0;

	if (child < 0)
		return false;
	if (!child)
		_exit(statfs(path, &answer) && errno == ENOTCONN);
	for (unsigned int i = 0; i < PROBE_TRIES && !ended; i++) {
		nanosleep(&pause, NULL);
		ended = waitpid(child, &status, WNOHANG);
	}
	*ret_silent = !ended;
	if (!ended) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
	return ended == child && WIFEXITED(status) && WEXITSTATUS(status);
}

static void check_mount(struct report *report, const char *path, unsigned int *nr_bad)
{
	bool silent = false, dead = is_dead(path, &silent);
	char message[LINE_BYTES + 64], remedy[LINE_BYTES + 64];

	if (!dead && !silent)
		return;
	++*nr_bad;
	snprintf(message, sizeof(message), "%s %s", path,
		 dead ? "is left of a daemon that is gone" : "does not answer; its daemon is stuck");
	snprintf(remedy, sizeof(remedy), "umount -l %s", path);
	add(report, "dead mounts", BAD, message, remedy);
}

static void check_mounts(struct report *report)
{
	FILE *stream = fopen("/proc/self/mountinfo", "re");
	char line[LINE_BYTES], where[LINE_BYTES];
	unsigned int nr_bad = 0;

	while (stream && fgets(line, sizeof(line), stream)) {
		if (strstr(line, " - fuse.zsd ") && sscanf(line, "%*d %*d %*s %*s %4095s", where) == 1)
			check_mount(report, where, &nr_bad);
	}
	if (stream)
		fclose(stream);
	if (!nr_bad)
		add(report, "dead mounts", OK, "there are none", "");
}

static void check_daemon(struct report *report, const struct zsctl_options *options)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	struct zs_wire_reply reply = {};
	char message[LINE_BYTES];
	const char *version;
	int error = zs_client_connect(options->socket, 5000, &client);

	if (!error)
		error = zs_client_call(client, "org.varlink.service.GetInfo", NULL, &reply);
	if (error) {
		snprintf(message, sizeof(message), "none answers at %s: %s", options->socket, strerror(-error));
		add(report, "daemon", NOTE, message, "start it (systemctl start zsd), or name its socket (--socket)");
		return;
	}
	version = json_string_value(json_object_get(reply.parameters, "version")) ?: "?";
	snprintf(message, sizeof(message), "version %s answers at %s", version, options->socket);
	if (strcmp(version, ZSD_VERSION) == 0)
		add(report, "daemon", OK, message, "");
	else
		add(report, "daemon", NOTE, message, "zsctl has version " ZSD_VERSION "; restart the daemon");
	zs_wire_reply_deinit(&reply);
}

static void print_checks(json_t *checks)
{
	json_t *check;
	size_t i;

	json_array_foreach(checks, i, check)
	{
		const char *remedy = json_string_value(json_object_get(check, "remedy"));

		printf("%-4s  %s: %s", json_string_value(json_object_get(check, "state")),
		       json_string_value(json_object_get(check, "check")),
		       json_string_value(json_object_get(check, "message")));
		if (remedy)
			printf("\n      -> %s", remedy);
		putchar('\n');
	}
}

enum zsctl_exit cmd_doctor(const struct zsctl_options *options, char *const *names)
{
	CLEANUP_JSON json_t *checks = json_array();
	struct report report = {.checks = checks};
	enum zsctl_exit status = ZSCTL_OK;

	check_kernel(&report);
	check_fuse(&report);
	check_fuse_conf(&report);
	check_uring(&report);
	check_propagation(&report);
	check_memlock(&report);
	check_mounts(&report);
	check_daemon(&report, options);
	if (report.no_memory)
		return zsctl_no_memory();
	if (options->json)
		status = zsctl_print_json(options, json_pack("{s:O}", "checks", checks));
	else
		print_checks(checks);
	return status ?: report.failed ? ZSCTL_ERROR : ZSCTL_OK;
}

enum zsctl_exit cmd_dump_config(const struct zsctl_options *options, char *const *names)
{
	static const char *const values[][2] = {
		{"version", ZSD_VERSION},
		{"zsd", ZSD_PATH},
		{"config", ZSD_CONFIG_PATH},
		{"socket", "/run/zsd/io.zsd.control"},
		{"metrics_socket", "/run/zsd/io.zsd.metrics"},
		{"mount_point", "/run/zsd/mnt"},
		{"algorithms", "lz4 zstd"},
		{"transports", "classic uring"},
		{"block_size_min", "4K"},
		{"block_size_max", "64K"},
		{"interfaces", "io.zsd.control io.zsd.metrics io.systemd.Metrics"},
	};
	CLEANUP_JSON json_t *object = json_object();

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (!options->json)
			printf("%s=%s\n", values[i][0], values[i][1]);
		else if (json_object_set_new(object, values[i][0], json_string(values[i][1])))
			return zsctl_no_memory();
	}
	return options->json ? zsctl_print_json(options, zs_take(object)) : ZSCTL_OK;
}
