/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic on sizes and bits, and the residue of self-checking words. */

#include <criterion/criterion.h>

#include "base/bits.h"
#include "base/residue.h"
#include "support/random.h"

Test(bits, only_powers_of_two_are_powers_of_two)
{
	cr_assert_not(zs_is_power_of_two(0));
	cr_assert(zs_is_power_of_two(1));
	cr_assert(zs_is_power_of_two(2));
	cr_assert_not(zs_is_power_of_two(3));
	cr_assert(zs_is_power_of_two(UINT64_C(1) << 63));
	cr_assert_not(zs_is_power_of_two(UINT64_MAX));
}

Test(bits, alignment_leaves_multiples_alone)
{
	cr_assert_eq(zs_align_up(0, 4096), 0);
	cr_assert_eq(zs_align_up(1, 4096), 4096);
	cr_assert_eq(zs_align_up(4095, 4096), 4096);
	cr_assert_eq(zs_align_up(4096, 4096), 4096);
	cr_assert_eq(zs_align_up(4097, 4096), 8192);
	cr_assert_eq(zs_align_down(4095, 4096), 0);
	cr_assert_eq(zs_align_down(4096, 4096), 4096);
	cr_assert_eq(zs_align_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
}

Test(bits, division_rounds_up_without_overflow)
{
	cr_assert_eq(zs_div_round_up(0, 8), 0);
	cr_assert_eq(zs_div_round_up(1, 8), 1);
	cr_assert_eq(zs_div_round_up(8, 8), 1);
	cr_assert_eq(zs_div_round_up(9, 8), 2);
	cr_assert_eq(zs_div_round_up(UINT64_MAX, 2), UINT64_C(1) << 63);
}

Test(bits, ilog2_is_the_highest_bit)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		cr_assert_eq(zs_ilog2(UINT64_C(1) << bit), bit);
		cr_assert_eq(zs_ilog2(UINT64_MAX >> (63 - bit)), bit);
	}
}

Test(bits, container_of_is_the_way_back)
{
	struct {
		int before;
		int member;
	} outer;

	cr_assert_eq((void *)zs_container_of(&outer.member, __typeof__(outer), member), (void *)&outer);
}

Test(residue, zero_is_sound_and_zero)
{
	cr_assert(zs_residue_is_sound(0));
	cr_assert_eq(zs_residue_value(0), 0);
	cr_assert_eq(zs_residue_seal(0), 0);
}

Test(residue, every_change_of_one_or_two_bits_is_found)
{
	struct test_random random = {.state = 1};

	for (unsigned int round = 0; round < 50; round++) {
		uint64_t value = round ? test_random_next(&random) & ZS_RESIDUE_VALUE_MASK : 0;
		uint64_t word = zs_residue_seal(value);

		cr_assert(zs_residue_is_sound(word));
		cr_assert_eq(zs_residue_value(word), value);
		for (unsigned int i = 0; i < 64; i++) {
			for (unsigned int j = i; j < 64; j++) {
				uint64_t flipped = word ^ UINT64_C(1) << i ^ (i == j ? 0 : UINT64_C(1) << j);

				cr_assert_not(zs_residue_is_sound(flipped), "%#llx, bits %u and %u",
					      (unsigned long long)word, i, j);
			}
		}
	}
}
