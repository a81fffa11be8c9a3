/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slots and entries of the device table: what their words say, and that a flipped bit is found. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "store/entry.h"
#include "store/slot.h"

#define SLOTS_BYTES ((uint64_t)64 << 20)

Test(slot, an_untouched_table_is_empty_slots)
{
	cr_assert_eq(ZS_SLOT_NONE, 0);
	cr_assert(zs_slot_is_sound(ZS_SLOT_NONE));
	cr_assert_eq(zs_slot_state(ZS_SLOT_NONE), ZS_SLOT_EMPTY);
}

Test(slot, a_slot_says_what_was_put_in)
{
	static const uint32_t words[] = {0, 1, 0x12345678, UINT32_MAX};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(words); i++) {
		uint64_t object = zs_slot_object((struct zs_handle){words[i]}, 0);
		uint64_t huge = zs_slot_object((struct zs_handle){words[i]}, ZS_SLOT_INCOMPRESSIBLE);
		uint64_t same = zs_slot_same(words[i]);

		cr_assert(zs_slot_is_sound(object) && zs_slot_is_sound(huge) && zs_slot_is_sound(same));
		cr_assert_eq(zs_slot_state(object), ZS_SLOT_OBJECT);
		cr_assert_eq(zs_slot_state(huge), ZS_SLOT_OBJECT);
		cr_assert_eq(zs_slot_state(same), ZS_SLOT_SAME);
		cr_assert_eq(zs_slot_handle(object).index, words[i]);
		cr_assert_eq(zs_slot_handle(huge).index, words[i]);
		cr_assert_eq(zs_slot_word(same), words[i]);
		cr_assert_not(object & ZS_SLOT_INCOMPRESSIBLE);
		cr_assert(huge & ZS_SLOT_INCOMPRESSIBLE);
		cr_assert_neq(same, ZS_SLOT_NONE, "written zeros are not a hole");
	}
	cr_assert_eq(zs_slot_state(zs_slot_lost()), ZS_SLOT_LOST);
	cr_assert(zs_slot_is_sound(zs_slot_lost()));
}

Test(slot, every_flipped_bit_is_found)
{
	const uint64_t slots[] = {ZS_SLOT_NONE, zs_slot_object((struct zs_handle){77}, ZS_SLOT_FILL), zs_slot_same(0),
				  zs_slot_same(UINT32_MAX), zs_slot_lost()};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(slots); i++) {
		for (unsigned int bit = 0; bit < 64; bit++)
			cr_assert_not(zs_slot_is_sound(slots[i] ^ UINT64_C(1) << bit));
	}
}

Test(entry, names_are_judged_by_table)
{
	static const struct {
		const char *name;
		bool valid;
	} table[] = {
		{"a", true},
		{"disk-0_A+~ ,", true},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true},
		{"1234567890123456789012345678901234567890123456789012345678901234", true},
		{"12345678901234567890123456789012345678901234567890123456789012345", false},
		{"", false},
		{".", false},
		{"..", false},
		{".hidden", false},
		{"with.dot", false},
		{"/", false},
		{"a/b", false},
		{"a\nb", false},
		{"a\tb", false},
		{"a\x7f", false},
		{"a\x01", false},
		{"a\xc2\x85", false},	     /* a control character of two bytes */
		{"a\xff", false},	     /* never in UTF-8 */
		{"a\xc3", false},	     /* cut */
		{"\x80", false},	     /* a continuation alone */
		{"\xc0\xaf", false},	     /* an overlong '/' */
		{"\xe0\x80\xaf", false},     /* again */
		{"\xed\xa0\x80", false},     /* a surrogate */
		{"\xf4\x90\x80\x80", false}, /* beyond Unicode */
		{"\xf5\x80\x80\x80", false},
	};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(table); i++)
		cr_assert_eq(zs_name_is_valid(table[i].name), table[i].valid, "\"%s\", line %u", table[i].name, i);
}

static void make_entry(struct zs_device_entry *entry, uint64_t id)
{
	struct zs_device_options options = {
		.name = "device",
		.size_bytes = 1 << 20,
		.block_size = 4096,
		.codec = {ZS_CODEC_ZSTD, 19},
		.memory_limit_bytes = 4711,
		.mode = 0640,
		.uid = 7,
		.gid = 8,
	};

	memset(entry, 0, sizeof(*entry));
	zs_entry_commit(entry, id, &options, 0, 8192, 1700000000);
}

Test(entry, an_entry_is_sound_only_at_its_own_index)
{
	struct zs_device_entry entry = {0};

	cr_assert_eq(zs_entry_check(&entry, 5, SLOTS_BYTES), -ENOENT);
	make_entry(&entry, 1 << ZS_DEVICE_INDEX_BITS | 5);
	cr_assert_eq(zs_entry_check(&entry, 5, SLOTS_BYTES), 0);
	cr_assert_eq(zs_entry_check(&entry, 6, SLOTS_BYTES), -EBADMSG);
	cr_assert_eq(zs_entry_check(&entry, 5, 8192), -EBADMSG, "its table is beyond the region");
	cr_assert_eq(zs_entry_attributes(&entry)->mode, 0640);
	cr_assert_eq(zs_entry_attributes(&entry)->gid, 8);
	cr_assert_eq(zs_entry_attributes(&entry)->memory_limit_bytes, 4711);
}

Test(entry, attributes_change_without_a_moment_of_neither)
{
	struct zs_device_entry entry;

	make_entry(&entry, 1 << ZS_DEVICE_INDEX_BITS);
	for (uint32_t i = 0; i < 10; i++) {
		struct zs_device_attributes attributes = *zs_entry_attributes(&entry);
		const struct zs_device_attributes *before = zs_entry_attributes(&entry);

		attributes.uid = i;
		zs_entry_set_attributes(&entry, &attributes);
		cr_assert_neq(zs_entry_attributes(&entry), before, "the copy that was valid is never written");
		cr_assert_eq(zs_entry_attributes(&entry)->uid, i);
		cr_assert_eq(zs_entry_attributes(&entry)->gid, 8);
		cr_assert_eq(zs_entry_check(&entry, 0, SLOTS_BYTES), 0);
	}
}

Test(entry, every_flipped_bit_that_counts_is_found)
{
	unsigned char *bytes;
	struct zs_device_entry entry;
	unsigned int found = 0;

	make_entry(&entry, 3 << ZS_DEVICE_INDEX_BITS | 9);
	bytes = (unsigned char *)&entry;
	for (unsigned int bit = 0; bit < sizeof(entry) * 8; bit++) {
		int error;

		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		error = zs_entry_check(&entry, 9, SLOTS_BYTES);
		cr_assert(!error || error == -EBADMSG, "bit %u: %d", bit, error);
		/* The copy of the attributes that is not valid may hold anything. */
		if (!error)
			cr_assert(bit / 8 >= offsetof(struct zs_device_entry, attributes) &&
					  bit / 8 < offsetof(struct zs_device_entry, size_bytes),
				  "bit %u", bit);
		found += error != 0;
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	cr_assert_eq(found, (sizeof(entry) - sizeof(struct zs_device_attributes)) * 8);
	cr_assert_eq(zs_entry_check(&entry, 9, SLOTS_BYTES), 0);
}
