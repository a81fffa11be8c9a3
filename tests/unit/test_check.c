/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assertions and fault points. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cleanup.h"

Test(check, a_true_assertion_goes_on)
{
	zs_assert(1 + 1 == 2);
	zs_assert_msg(true, "never %s", "printed");
}

Test(check, a_false_assertion_stops_the_program, .signal = SIGABRT)
{
	zs_assert(1 + 1 == 3);
}

Test(check, a_false_assertion_with_a_note_stops_the_program, .signal = SIGABRT)
{
	zs_assert_msg(false, "value %d", 3);
}

Test(check, faults_do_not_happen_unarmed)
{
	for (unsigned int i = 0; i < 100; i++)
		cr_assert_not(zs_fault());
}

Test(check, the_nth_fault_point_fails_and_no_other)
{
	for (uint64_t nth = 1; nth <= 10; nth++) {
		zs_fault_arm(nth);
		for (uint64_t i = 1; i <= 20; i++) {
			cr_assert_eq(zs_fault(), i == nth);
			cr_assert_eq(zs_fault_passed(), i);
		}
		zs_fault_arm(0);
		cr_assert_not(zs_fault());
		cr_assert_eq(zs_fault_passed(), 0);
	}
}

Test(check, allocations_are_fault_points)
{
	void *memory;

	zs_fault_arm(1);
	cr_assert_null(zs_malloc(10));
	zs_fault_arm(2);
	memory = zs_malloc(10);
	cr_assert_not_null(memory);
	free(memory);
	cr_assert_null(zs_calloc(10, 10));
	memory = zs_calloc(10, 10);
	cr_assert_not_null(memory);
	free(memory);
	zs_fault_arm(0);
}

static void *hand_over(void)
{
	ZS_CLEANUP_FREE char *memory = zs_malloc(10);

	if (memory)
		memory[0] = 1;
	return zs_take(memory);
}

Test(cleanup, what_is_taken_survives_the_scope)
{
	char *memory = hand_over();

	cr_assert_not_null(memory);
	cr_assert_eq(memory[0], 1);
	free(memory);
}
