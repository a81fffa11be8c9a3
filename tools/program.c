/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running programs. */

#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int zsctl_run_program(const char *const *argv)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return 127;
	if (!child) {
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "zsctl: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return 127;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
