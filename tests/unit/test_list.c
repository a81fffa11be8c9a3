/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The circular list. */

#include <criterion/criterion.h>

#include "base/list.h"

struct item {
	int number;
	struct zs_list link;
};

static unsigned int list_length(const struct zs_list *list)
{
	unsigned int length = 0;

	zs_list_for_each (link, list) {
		cr_assert_eq(link->next->previous, link);
		cr_assert_eq(link->previous->next, link);
		length++;
	}
	return length;
}

Test(list, a_new_list_is_empty)
{
	struct zs_list list;

	zs_list_init(&list);
	cr_assert(zs_list_empty(&list));
	cr_assert_eq(list_length(&list), 0);
}

Test(list, the_last_pushed_entry_comes_first)
{
	struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct zs_list list;
	int expected = 2;

	zs_list_init(&list);
	for (unsigned int i = 0; i < 3; i++)
		zs_list_push(&list, &items[i].link);
	cr_assert_eq(list_length(&list), 3);
	zs_list_for_each (link, &list)
		cr_assert_eq(zs_list_entry(link, struct item, link)->number, expected--);
}

Test(list, entries_leave_from_anywhere_and_twice)
{
	struct item items[3];
	struct zs_list list;

	for (unsigned int first = 0; first < 3; first++) {
		zs_list_init(&list);
		for (unsigned int i = 0; i < 3; i++)
			zs_list_push(&list, &items[i].link);
		for (unsigned int i = 0; i < 3; i++) {
			struct zs_list *link = &items[(first + i) % 3].link;

			zs_list_unlink(link);
			cr_assert(zs_list_empty(link));
			zs_list_unlink(link);
			cr_assert_eq(list_length(&list), 2 - i);
		}
		cr_assert(zs_list_empty(&list));
	}
}
