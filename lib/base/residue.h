#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A 64-bit word that checks itself: 54 bits of value and, above them, the residue of value * 2^10 modulo 1019.
 *
 * 1019 is prime and 2 is a primitive root of it: its order is 1018, and 2^509 = -1. So the 54 bits of the value weigh
 * 2^10 to 2^63 and the 10 bits of the residue 2^0 to 2^9, and no two of these 64 weights are equal or add up to 0:
 * every change of one or two bits is found, at the cost of one multiplication. The word 0 is sound and has the value 0.
 */

#include <stdbool.h>
#include <stdint.h>

#define ZS_RESIDUE_VALUE_BITS 54
#define ZS_RESIDUE_VALUE_MASK ((UINT64_C(1) << ZS_RESIDUE_VALUE_BITS) - 1)
#define ZS_RESIDUE_MODULUS    1019

/* value must fit into 54 bits. */
static inline uint64_t zs_residue_seal(uint64_t value)
{
	return value | ((value << 10) % ZS_RESIDUE_MODULUS) << ZS_RESIDUE_VALUE_BITS;
}

static inline bool zs_residue_is_sound(uint64_t word)
{
	/* The shift drops the residue. */
	return (word << 10) % ZS_RESIDUE_MODULUS == word >> ZS_RESIDUE_VALUE_BITS;
}

static inline uint64_t zs_residue_value(uint64_t word)
{
	return word & ZS_RESIDUE_VALUE_MASK;
}
