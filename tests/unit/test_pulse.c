/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pulse of a thread that serves data. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "pulse.h"

static struct zsd_pulse pulse;
static _Atomic bool stop;
static sem_t moved; /* posted each time that the sleeper has looked */

static void interrupt(int signal)
{
}

/* Looks for requests that never come, as a thread of a transport does. */
static void *sleep_until_called(void *argument)
{
	const int *fds = argument;
	char byte;

	while (!atomic_load(&stop)) {
		zsd_pulse_look(&pulse);
		sem_post(&moved);
		if (read(fds[0], &byte, 1) == 1)
			break;
	}
	return NULL;
}

static void handle_signal(void)
{
	struct sigaction action = {.sa_handler = interrupt};

	sigaction(ZSD_PULSE_SIGNAL, &action, NULL);
}

Test(pulse, the_first_call_finds_nobody_hanging)
{
	handle_signal();
	cr_assert(zsd_pulse_call(&pulse, pthread_self()));
}

Test(pulse, who_has_not_moved_since_the_last_call_hangs)
{
	handle_signal();
	zsd_pulse_call(&pulse, pthread_self());
	cr_assert_not(zsd_pulse_call(&pulse, pthread_self()));
	zsd_pulse_look(&pulse);
	cr_assert(zsd_pulse_call(&pulse, pthread_self()));
}

Test(pulse, who_stays_in_one_request_hangs_and_who_begins_another_does_not)
{
	zsd_pulse_look(&pulse);
	zsd_pulse_serve(&pulse);
	/* No handler: a signal would end this process, and none may come while it serves. */
	zsd_pulse_call(&pulse, pthread_self());
	cr_assert_not(zsd_pulse_call(&pulse, pthread_self()));
	zsd_pulse_serve(&pulse);
	cr_assert(zsd_pulse_call(&pulse, pthread_self()));
	cr_assert_not(zsd_pulse_call(&pulse, pthread_self()));
}

Test(pulse, who_waits_for_a_disk_does_not_hang_and_who_has_it_served_does)
{
	zsd_pulse_look(&pulse);
	zsd_pulse_serve(&pulse);
	zsd_pulse_call(&pulse, pthread_self());
	zsd_pulse_set_waits(&pulse, true);
	for (int i = 0; i < 3; i++)
		cr_assert(zsd_pulse_call(&pulse, pthread_self()));
	zsd_pulse_set_waits(&pulse, false);
	cr_assert_not(zsd_pulse_call(&pulse, pthread_self()));
}

Test(pulse, looking_and_serving_in_turn_always_moves)
{
	uint32_t before;

	atomic_store(&pulse.beats, UINT32_MAX - 4);
	for (int i = 0; i < 8; i++) {
		before = atomic_load(&pulse.beats);
		zsd_pulse_look(&pulse);
		cr_assert_neq(atomic_load(&pulse.beats), before);
		cr_assert_eq(atomic_load(&pulse.beats) & 1, 0);
		before = atomic_load(&pulse.beats);
		zsd_pulse_serve(&pulse);
		cr_assert_neq(atomic_load(&pulse.beats), before);
		cr_assert_eq(atomic_load(&pulse.beats) & 1, 1);
	}
}

Test(pulse, who_sleeps_is_woken_by_calls_and_has_moved)
{
	pthread_t thread;
	uint32_t before;
	int fds[2];

	handle_signal();
	sem_init(&moved, 0, 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(pthread_create(&thread, NULL, sleep_until_called, fds), 0);
	sem_wait(&moved);
	before = atomic_load(&pulse.beats);
	/* A signal that comes before it sleeps is lost; the next call sends another one. */
	do {
		zsd_pulse_call(&pulse, thread);
		usleep(1000);
	} while (sem_trywait(&moved));
	cr_assert_neq(atomic_load(&pulse.beats), before);
	atomic_store(&stop, true);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	pthread_join(thread, NULL);
}
