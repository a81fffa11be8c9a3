/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handle words: location, state, pins. */

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#include "base/bits.h"
#include "zsmalloc/handle.h"

static const struct zs_location locations[] = {
	{.page = 0, .class = 0, .index = 0},
	{.page = 1, .class = 2, .index = 3},
	{.page = UINT32_MAX, .class = UINT8_MAX, .index = 4095},
	{.page = 0x12345678, .class = 0x9a, .index = 0xbcd},
};

static const struct zs_place places[] = {
	{.unit = 0, .units = 1},
	{.unit = 0x123456789, .units = 0x1abc},
	{.unit = ZS_PLACE_END - 1, .units = ZS_PLACE_UNITS_MAX},
};

Test(handle, a_word_says_where_in_the_backing_file_the_object_is)
{
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(places); i++) {
		uint64_t word = zs_handle_backed_word(places[i], i * 200);

		cr_assert_eq(zs_handle_state(word), ZS_HANDLE_BACKED);
		cr_assert(zs_handle_is_backed(word));
		cr_assert_eq(zs_handle_pins(word), i * 200);
		cr_assert_not(word & ZS_HANDLE_LOCK);
		cr_assert_eq(zs_handle_place(word).unit, places[i].unit);
		cr_assert_eq(zs_handle_place(word).units, places[i].units);
	}
}

Test(handle, a_doomed_object_is_where_it_was)
{
	for (unsigned int pins = 0; pins < 3; pins++) {
		_Atomic uint64_t live = zs_handle_word(ZS_HANDLE_LIVE, locations[3], pins);
		_Atomic uint64_t backed = zs_handle_backed_word(places[1], pins);
		uint64_t old, seen;

		cr_assert_eq(zs_handle_doom(&live, &old), 0);
		cr_assert_not(zs_handle_is_backed(live));
		cr_assert_eq(zs_handle_location(live).page, locations[3].page);
		cr_assert_eq(zs_handle_doom(&backed, &old), 0);
		cr_assert(zs_handle_is_backed(old) && zs_handle_is_backed(backed));
		cr_assert_eq(zs_handle_state(backed), ZS_HANDLE_DOOMED);
		cr_assert_eq(zs_handle_place(backed).unit, places[1].unit);
		cr_assert_eq(zs_handle_place(backed).units, places[1].units);
		cr_assert_eq(zs_handle_pin(&backed, &seen), -EAGAIN);
		for (unsigned int i = 0; i < pins; i++)
			cr_assert_not(zs_handle_unpin(&backed));
		cr_assert(zs_handle_release(&backed, old));
	}
}

Test(handle, a_word_is_replaced_only_if_nothing_has_happened_to_it)
{
	uint64_t live = zs_handle_word(ZS_HANDLE_LIVE, locations[1], 1), backed = zs_handle_backed_word(places[1], 1);
	_Atomic uint64_t word = live;
	uint64_t seen, old;

	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_not(zs_handle_replace(&word, live, backed), "there is a second reader");
	cr_assert_not(zs_handle_unpin(&word));
	cr_assert(zs_handle_replace(&word, live, backed));
	cr_assert_not(zs_handle_trylock(&word, locations[1]), "there is nothing in memory to move");
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_not(zs_handle_replace(&word, backed, live), "it is doomed");
}

Test(handle, a_word_says_what_was_put_in)
{
	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(locations); i++) {
		for (enum zs_handle_state state = ZS_HANDLE_FREE; state <= ZS_HANDLE_DOOMED; state++) {
			uint64_t word = zs_handle_word(state, locations[i], i * 100);
			struct zs_location location = zs_handle_location(word);

			cr_assert_eq(zs_handle_state(word), state);
			cr_assert_eq(zs_handle_pins(word), i * 100);
			cr_assert_not(word & ZS_HANDLE_LOCK);
			cr_assert_eq(location.page, locations[i].page);
			cr_assert_eq(location.class, locations[i].class);
			cr_assert_eq(location.index, locations[i].index);
		}
	}
}

Test(handle, only_objects_that_a_slot_may_name_can_be_pinned)
{
	_Atomic uint64_t word = 0;
	uint64_t seen = 4711;

	cr_assert_eq(zs_handle_pin(&word, &seen), -EAGAIN);
	word = zs_handle_word(ZS_HANDLE_DOOMED, locations[1], 1);
	cr_assert_eq(zs_handle_pin(&word, &seen), -EAGAIN);
	cr_assert_eq(seen, 4711);
	cr_assert_eq(zs_handle_pins(word), 1);
	word = zs_handle_word(ZS_HANDLE_LIVE, locations[1], 0);
	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_eq(zs_handle_pins(seen), 1);
	cr_assert_eq(zs_handle_location(seen).page, locations[1].page);
	word = zs_handle_backed_word(places[1], 0);
	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_eq(zs_handle_place(seen).unit, places[1].unit);
}

Test(handle, a_reserved_object_can_not_be_pinned_until_it_is_published)
{
	_Atomic uint64_t word = 0;
	uint64_t seen;

	zs_handle_reserve(&word, locations[3], true);
	cr_assert(zs_handle_is_fresh(word));
	cr_assert_eq(zs_handle_pin(&word, &seen), -EAGAIN);
	cr_assert_eq(zs_handle_location(word).page, locations[3].page);
	zs_handle_publish(&word, locations[3]);
	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_eq(zs_handle_location(seen).index, locations[3].index);
}

Test(handle, the_last_reader_of_a_doomed_object_frees_it)
{
	_Atomic uint64_t word;
	uint64_t seen, old;

	zs_handle_publish(&word, locations[1]);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_eq(zs_handle_pin(&word, &seen), -EAGAIN);
	/* the three readers, and whoever doomed it */
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_not(zs_handle_unpin(&word));
	cr_assert(zs_handle_release(&word, old));
}

Test(handle, whoever_doomed_an_object_leaves_it_to_its_readers)
{
	_Atomic uint64_t word;
	uint64_t seen, old;

	zs_handle_publish(&word, locations[1]);
	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_not(zs_handle_release(&word, old));
	cr_assert(zs_handle_unpin(&word));
}

Test(handle, an_object_without_readers_is_freed_by_whoever_doomed_it)
{
	_Atomic uint64_t word;
	uint64_t old;

	zs_handle_publish(&word, locations[2]);
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_eq(zs_handle_location(old).page, UINT32_MAX);
	cr_assert_eq(zs_handle_pin(&word, &old), -EAGAIN);
	cr_assert(zs_handle_release(&word, old));
}

Test(handle, only_an_idle_object_can_be_moved)
{
	_Atomic uint64_t word;
	uint64_t seen, old;

	zs_handle_reserve(&word, locations[1], false);
	cr_assert_not(zs_handle_is_fresh(word));
	cr_assert_not(zs_handle_trylock(&word, locations[1]), "it is being written");
	zs_handle_publish(&word, locations[1]);
	cr_assert_not(zs_handle_trylock(&word, locations[2]), "it is somewhere else");
	cr_assert_eq(zs_handle_pin(&word, &seen), 0);
	cr_assert_not(zs_handle_trylock(&word, locations[1]), "it has a reader");
	cr_assert_not(zs_handle_unpin(&word));
	cr_assert(zs_handle_trylock(&word, locations[1]));
	cr_assert_not(zs_handle_trylock(&word, locations[1]), "it is moving");
	zs_handle_move(&word, locations[2]);
	cr_assert_eq(zs_handle_location(word).page, locations[2].page);
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_not(zs_handle_trylock(&word, locations[2]), "it is doomed");
}

Test(handle, as_many_pins_as_the_word_holds)
{
	_Atomic uint64_t word = zs_handle_word(ZS_HANDLE_LIVE, locations[2], 0);
	uint64_t seen, before = word;

	for (unsigned int i = 1; i <= ZS_HANDLE_PINS_MASK; i++) {
		cr_assert_eq(zs_handle_pin(&word, &seen), 0);
		cr_assert_eq(zs_handle_pins(word), i);
	}
	cr_assert_not(word & ZS_HANDLE_LOCK);
	for (unsigned int i = 1; i <= ZS_HANDLE_PINS_MASK; i++)
		cr_assert_not(zs_handle_unpin(&word));
	cr_assert_eq(word, before);
}

Test(handle, only_a_live_object_can_be_doomed)
{
	_Atomic uint64_t word = 0;
	uint64_t old = 77;

	cr_assert_eq(zs_handle_doom(&word, &old), -ESTALE);
	zs_handle_reserve(&word, locations[1], false);
	cr_assert_eq(zs_handle_doom(&word, &old), -ESTALE);
	cr_assert_eq(old, 77);
	zs_handle_publish(&word, locations[1]);
	cr_assert_eq(zs_handle_doom(&word, &old), 0);
	cr_assert_eq(zs_handle_doom(&word, &old), -ESTALE);
}
