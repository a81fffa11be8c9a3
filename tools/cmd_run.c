/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run: a daemon and a device for one command, gone when it ends.
 *
 *   directory -> daemon -> device -> command with $ZSD_FILE and $ZSD_SOCKET -> SIGTERM to the daemon -> directory
 *
 * The daemon has a process group of its own, so that Ctrl-C reaches the command and not it, and gets SIGTERM from the
 * kernel if we are killed.
 */

#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client.h"
#include "options.h"
#include "request.h"

#define DEVICE	       "disk"
#define START_TRIES    500 /* 10 seconds */
#define START_NSEC     20000000
#define CALL_MS	       10000
#define EXIT_NOT_FOUND 127

struct captive {
	char directory[64]; /* "" = not made */
	char socket[96];
	pid_t daemon;
};

static volatile sig_atomic_t command_pid;

static void pass_on(int signal)
{
	if (command_pid > 0)
		kill(command_pid, signal);
}

static void remove_file(const struct captive *captive, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", captive->directory, name);
	unlink(path);
	rmdir(path);
}

static void captive_end(struct captive *captive)
{
	static const char *const left[] = {
		"run/io.zsd.control", "run/io.zsd.metrics", "run/zsd.lock", "run/mnt", "run", "zsd.conf"};

	if (captive->daemon > 0) {
		kill(captive->daemon, SIGTERM);
		while (waitpid(captive->daemon, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	if (!*captive->directory)
		return;
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		remove_file(captive, left[i]);
	rmdir(captive->directory);
}

static enum zsctl_exit make_directory(struct captive *captive)
{
	const char *parent = getenv("XDG_RUNTIME_DIR");

	if (!parent || *parent != '/' || strlen(parent) > 32 || access(parent, W_OK))
		parent = "/tmp";
	snprintf(captive->directory, sizeof(captive->directory), "%s/zsctl-run-XXXXXX", parent);
	if (mkdtemp(captive->directory)) {
		snprintf(captive->socket, sizeof(captive->socket), "%s/run/io.zsd.control", captive->directory);
		return ZSCTL_OK;
	}
	fprintf(stderr, "zsctl: run: no directory in %s: %s\n", parent, strerror(errno));
	*captive->directory = 0;
	return ZSCTL_ERROR;
}

/* What the daemon says is of interest only if something is wrong. */
static bool write_config(const char *path)
{
	FILE *stream = fopen(path, "we");

	return stream && fputs("[Daemon]\nLogLevel=warning\n", stream) >= 0 && fclose(stream) == 0;
}

static void exec_daemon(const struct captive *captive)
{
	const char *path = getenv("ZSD") ?: ZSD_PATH;
	char runtime[80], config[80];

	snprintf(config, sizeof(config), "%s/zsd.conf", captive->directory);
	if (!write_config(config))
		_exit(EXIT_NOT_FOUND);
	snprintf(runtime, sizeof(runtime), "%s/run", captive->directory);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_FDS");
	execl(path, "zsd", "--config", config, "--runtime-dir", runtime, NULL);
	fprintf(stderr, "zsctl: run: %s: %s\n", path, strerror(errno));
	_exit(EXIT_NOT_FOUND);
}

/* Its control socket is the last thing that the daemon makes. */
static enum zsctl_exit wait_for_daemon(struct captive *captive, struct zs_client **ret_client)
{
	const struct timespec pause = {.tv_nsec = START_NSEC};

	for (unsigned int i = 0; i < START_TRIES; i++) {
		if (zs_client_connect(captive->socket, CALL_MS, ret_client) == 0)
			return ZSCTL_OK;
		if (waitpid(captive->daemon, NULL, WNOHANG) == captive->daemon) {
			captive->daemon = 0;
			fputs("zsctl: run: the daemon did not start, see above; 'zsctl doctor' may know why\n", stderr);
			return ZSCTL_ERROR;
		}
		nanosleep(&pause, NULL);
	}
	fputs("zsctl: run: the daemon does not get ready\n", stderr);
	return ZSCTL_UNREACHABLE;
}

static enum zsctl_exit add_device(const struct zsctl_options *options, struct captive *captive)
{
	CLEANUP_CLIENT struct zs_client *client = NULL;
	CLEANUP_JSON json_t *result = NULL;
	json_t *parameters = json_pack("{s:s, s:I, s:s*, s:s*}", "name", DEVICE, "size_bytes",
				       (json_int_t)options->size_bytes, "algorithm", options->algorithm, "cache",
				       options->cache);
	enum zsctl_exit status;

	if (options->block_size_bytes)
		json_object_set_new(parameters, "block_size_bytes",
				    json_integer((json_int_t)options->block_size_bytes));
	status = wait_for_daemon(captive, &client);
	if (status)
		json_decref(parameters);
	else
		status = zsctl_call(client, "run", "Add", parameters, false, &result);
	if (status)
		return status;
	setenv("ZSD_FILE", json_string_value(json_object_get(result, "file")) ?: "", true);
	setenv("ZSD_SOCKET", captive->socket, true);
	return ZSCTL_OK;
}

/* Runs the command with default signals. Answers its exit status. */
static int run_command(char *const *words)
{
	int status;

	command_pid = fork();
	if (command_pid < 0)
		return ZSCTL_ERROR;
	if (!command_pid) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		execvp(words[0], words);
		fprintf(stderr, "zsctl: run: %s: %s\n", words[0], strerror(errno));
		_exit(EXIT_NOT_FOUND);
	}
	while (waitpid(command_pid, &status, 0) < 0) {
		if (errno != EINTR)
			return ZSCTL_ERROR;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

enum zsctl_exit cmd_run(const struct zsctl_options *options, char *const *words)
{
	struct captive captive = {.daemon = 0};
	enum zsctl_exit status;

	if (!options->size_bytes) {
		fputs("zsctl: run: the size is missing; add one, as in --size 1G\n", stderr);
		return ZSCTL_USAGE;
	}
	/* The terminal sends SIGINT to the command itself. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, pass_on);
	signal(SIGHUP, pass_on);
	status = make_directory(&captive);
	if (status)
		return status;
	captive.daemon = fork();
	if (!captive.daemon)
		exec_daemon(&captive);
	status = captive.daemon < 0 ? ZSCTL_ERROR : add_device(options, &captive);
	if (!status)
		status = (enum zsctl_exit)run_command(words);
	captive_end(&captive);
	return status;
}
