/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zsd: arguments in, exit code out. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_show.h"
#include "daemon.h"
#include "notify.h"
#include "transport.h"

enum { EXIT_USAGE = 2 };

static const char help[] = "Usage: zsd [OPTION...]\n"
			   "\n"
			   "Keeps compressed block devices in memory and serves each of them as a file\n"
			   "below DIR/mnt. Runs in the foreground; zsctl(1) adds and removes devices.\n"
			   "\n"
			   "  -d, --runtime-dir DIR  directory of the control socket and the mount point\n"
			   "                         (root: /run/zsd, others: $XDG_RUNTIME_DIR/zsd)\n"
			   "  -c, --config FILE      configuration (root: " ZSD_CONFIG_PATH ",\n"
			   "                         others: ~/.config/zsd/zsd.conf)\n"
			   "      --no-config        read no configuration\n"
			   "      --check-config     look for mistakes in the configuration, and exit\n"
			   "      --show-config WHAT print the configuration, and exit: values, or origins,\n"
			   "                         which is the file and line of each value, too\n"
			   "  -t, --threads N        threads that serve data, 1 to 256 (one per CPU)\n"
			   "      --pool-mode MODE   singleton: all devices share zspages (the default);\n"
			   "                         per-device: each has its own\n"
			   "      --transport KIND   how requests come: classic (the default), uring, or\n"
			   "                         auto: uring where the kernel has it enabled\n"
			   "      --poll-max TIME    classic: how long to look for the next request before\n"
			   "                         sleeping, at most; 0 = not at all (50us)\n"
			   "  -h, --help             print this\n"
			   "      --version          print the version\n"
			   "\n"
			   "Exit status: 0 stopped by SIGTERM or SIGINT, or unmounted; 1 could not start;\n"
			   "2 wrong usage. All data is gone when it stops. See zsd(8).\n";

enum {
	OPTION_NO_CONFIG = 256,
	OPTION_CHECK_CONFIG,
	OPTION_SHOW_CONFIG,
	OPTION_POOL_MODE,
	OPTION_TRANSPORT,
	OPTION_POLL_MAX,
	OPTION_VERSION
};

static const struct option long_options[] = {
	{"runtime-dir", required_argument, NULL, 'd'},
	{"config", required_argument, NULL, 'c'},
	{"no-config", no_argument, NULL, OPTION_NO_CONFIG},
	{"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	{"show-config", required_argument, NULL, OPTION_SHOW_CONFIG},
	{"threads", required_argument, NULL, 't'},
	{"pool-mode", required_argument, NULL, OPTION_POOL_MODE},
	{"transport", required_argument, NULL, OPTION_TRANSPORT},
	{"poll-max", required_argument, NULL, OPTION_POLL_MAX},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

/* A usage error: getopt has printed what is wrong, or we do. */
static int usage(const char *problem, const char *text)
{
	if (problem)
		fprintf(stderr, "zsd: %s: %s\n", problem, text);
	fprintf(stderr, "Try 'zsd --help'.\n");
	return EXIT_USAGE;
}

static int parse_threads(const char *text, unsigned int *ret_nr)
{
	char *end;
	long nr;

	errno = 0;
	nr = strtol(text, &end, 10);
	if (errno || end == text || *end || nr < 1 || nr > ZSD_THREADS_MAX)
		return -EINVAL;
	*ret_nr = (unsigned int)nr;
	return 0;
}

static bool is_pool_mode(const char *text)
{
	bool per_device;

	return zsd_pool_mode_parse(text, &per_device) == 0;
}

static int parse_transport(const char *text, int *ret_transport)
{
	enum zsd_transport_kind kind;
	int r = zsd_transport_parse(text, &kind);

	if (!r)
		*ret_transport = (int)kind;
	return r;
}

enum action { ACTION_RUN, ACTION_CHECK, ACTION_SHOW, ACTION_SHOW_ORIGINS };

/* Returns -1 to go on, or the exit code. */
static int parse(int argc, char *argv[], struct zsd_options *options, enum action *action)
{
	int option;

	while ((option = getopt_long(argc, argv, "d:c:t:h", long_options, NULL)) >= 0) {
		switch (option) {
		case 'd':
			options->runtime_dir = optarg;
			break;
		case 'c':
			options->config_path = optarg;
			break;
		case OPTION_NO_CONFIG:
			options->no_config = true;
			break;
		case OPTION_CHECK_CONFIG:
			*action = ACTION_CHECK;
			break;
		case OPTION_SHOW_CONFIG:
			if (strcmp(optarg, "values") && strcmp(optarg, "origins"))
				return usage("--show-config must be values or origins", optarg);
			*action = *optarg == 'v' ? ACTION_SHOW : ACTION_SHOW_ORIGINS;
			break;
		case 't':
			if (parse_threads(optarg, &options->nr_threads))
				return usage("--threads must be a number from 1 to 256", optarg);
			break;
		case OPTION_POOL_MODE:
			if (!is_pool_mode(optarg))
				return usage("--pool-mode must be singleton or per-device", optarg);
			options->pool_mode = optarg;
			break;
		case OPTION_TRANSPORT:
			if (parse_transport(optarg, &options->transport))
				return usage("--transport must be classic, uring or auto", optarg);
			break;
		case OPTION_POLL_MAX:
			if (zsd_poll_parse(optarg, &options->poll_max_nsec))
				return usage("--poll-max is not a time to poll, " ZSD_POLL_REMEDY, optarg);
			options->has_poll_max = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		case OPTION_VERSION:
			puts("zsd " ZSD_VERSION);
			return EXIT_SUCCESS;
		default:
			return usage(NULL, NULL);
		}
	}
	if (optind < argc)
		return usage("unexpected argument", argv[optind]);
	if (options->no_config && options->config_path)
		return usage("--no-config excludes --config", options->config_path);
	if (options->runtime_dir && !*options->runtime_dir)
		return usage("--runtime-dir needs a directory", "it is empty");
	return -1;
}

int main(int argc, char *argv[])
{
	struct zsd_options options = {.transport = -1};
	enum action action = ACTION_RUN;
	int code = parse(argc, argv, &options, &action), r;

	if (code >= 0)
		return code;
	zsd_notify_log(ZS_LOG_INFO);
	if (action == ACTION_RUN)
		r = zsd_daemon_run(&options);
	else if (action == ACTION_CHECK)
		r = zsd_config_check(&options);
	else
		r = zsd_config_show(&options, action == ACTION_SHOW_ORIGINS);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
