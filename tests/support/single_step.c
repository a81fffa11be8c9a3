/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single-stepping a child. */

#include "support/single_step.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "support/options.h"

/*
 * How the child says that it is there. Not by SIGSTOP: that may come from outside at any time, from who stops all jobs
 * for a while, and would be taken for the mark.
 */
#define MARK SIGUSR1

#if TEST_SANITIZED
/*
 * Every 5 seconds the sanitizer's allocator looks for free memory to give back, which may be a hundred million steps.
 * What ASAN_OPTIONS says comes on top of this.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_release_to_os_interval_ms=-1";
}
#endif

/* Shared with the child; there is one child at a time. */
static _Atomic bool *is_over;

void single_step_begin(void)
{
	raise(MARK);
}

void single_step_end(void)
{
	/* For the parent this is the end of the stepping: the child goes on undisturbed. */
	raise(MARK);
}

bool single_step_is_over(void)
{
	return atomic_load(is_over);
}

/* Waits for the child to stop, and answers the signal. */
static int wait_stop(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		zs_assert(errno == EINTR);
	zs_assert_msg(WIFSTOPPED(status), "the child ended with status %#x", status);
	return WSTOPSIG(status);
}

/* Sent from outside. It is not passed on: other threads may obey, and this one waits for them where it has to. */
static bool is_job_control(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGCONT;
}

/* Lets the child go on in this way until it stops for us, and answers the signal. */
static int go_on(pid_t pid, int request)
{
	int signal;

	do {
		zs_assert(!ptrace(request, pid, NULL, NULL));
		signal = wait_stop(pid);
	} while (is_job_control(signal));
	return signal;
}

/* Lets the child run to its next mark. */
static void run_to_mark(pid_t pid)
{
	zs_assert(go_on(pid, PTRACE_CONT) == MARK);
}

static pid_t start_child(single_step_child *child, void *context)
{
	pid_t pid;

	is_over = mmap(NULL, sizeof(*is_over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zs_assert(is_over != MAP_FAILED);
	pid = fork();
	zs_assert(pid >= 0);
	if (pid) {
		int signal = wait_stop(pid);

		zs_assert(!ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL));
		if (signal != MARK)
			run_to_mark(pid);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* meson sets MALLOC_PERTURB_: malloc() would fill what it gives, 64 bytes a step, which takes minutes. */
	mallopt(M_PERTURB, 0);
	zs_assert(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	child(context);
	_exit(0);
}

static void end_child(pid_t pid)
{
	int status;

	do {
		zs_assert(!ptrace(PTRACE_CONT, pid, NULL, NULL));
		while (waitpid(pid, &status, 0) < 0)
			zs_assert(errno == EINTR);
	} while (WIFSTOPPED(status) && is_job_control(WSTOPSIG(status)));
	zs_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the child ended with status %#x", status);
	munmap((void *)is_over, sizeof(*is_over));
}

/*
 * Parent and child take turns, and each turn is short: on one CPU that is five times as fast. Answers which ones it may
 * have been on before.
 */
static cpu_set_t share_one_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t before, set;

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	return before;
}

/* One instruction; false if the child has come to its end instead. */
static bool step(pid_t pid)
{
	int signal = go_on(pid, PTRACE_SINGLESTEP);

	zs_assert_msg(signal == SIGTRAP || signal == MARK, "the child got signal %d", signal);
	return signal == SIGTRAP;
}

uint64_t single_step_run(single_step_child *child, single_step_stop *stop, void *context)
{
	cpu_set_t before = share_one_cpu();
	pid_t pid = start_child(child, context);
	uint64_t count = 0;

	for (; step(pid); count++)
		stop(context);
	end_child(pid);
	sched_setaffinity(0, sizeof(before), &before);
	return count;
}

/* As many instructions; false if the child has come to its end before. */
static bool steps(pid_t pid, uint64_t nr)
{
	for (; nr; nr--) {
		if (!step(pid))
			return false;
	}
	return true;
}

uint64_t single_step_run_each(single_step_child *child, single_step_stop *stop, void *context, uint64_t first,
			      uint64_t stride)
{
	cpu_set_t before = share_one_cpu();
	pid_t pid = start_child(child, context);
	uint64_t count = 0;

	for (; steps(pid, first + count * stride); count++) {
		stop(context);
		run_to_mark(pid);
		run_to_mark(pid);
	}
	atomic_store(is_over, true);
	end_child(pid);
	sched_setaffinity(0, sizeof(before), &before);
	return count;
}
