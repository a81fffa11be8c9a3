/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * freeze TID...: stops threads of another process, one by one as a debugger does, and says "frozen". They go on when
 * this ends, or are killed with their process.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>

static int freeze(pid_t thread)
{
	int status;

	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) || ptrace(PTRACE_INTERRUPT, thread, NULL, NULL))
		return -errno;
	return waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status) ? 0 : -ESRCH;
}

int main(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		int r = freeze((pid_t)atoi(argv[i]));

		if (r) {
			fprintf(stderr, "freeze: %s: %s\n", argv[i], strerror(-r));
			return EXIT_FAILURE;
		}
	}
	puts("frozen");
	fflush(stdout);
	/* Whoever is killed has to be waited for by its tracer, too. */
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return EXIT_SUCCESS;
}
