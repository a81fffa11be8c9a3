/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's lists of nodes. */

#include <criterion/criterion.h>

#include "base/bits.h"
#include "nodes.h"

Test(nodes, of_a_list_reach_to_the_last_one)
{
	static const struct {
		const char *list;
		unsigned int nr;
	} table[] = {
		{"0\n", 1},
		{"0", 1},
		{"0-1\n", 2},
		{"0-3,8\n", 9},
		{"0,8-10,2\n", 11},
		{"1023\n", 1024},
		{"", 0},
		{"\n", 0},
		{"1024\n", 0},
		{"0-\n", 0},
		{",1\n", 0},
		{"-1\n", 0},
		{"0 1\n", 0},
		{"99999999999999999999\n", 0},
		{"all\n", 0},
	};

	for (unsigned int i = 0; i < ZS_ARRAY_SIZE(table); i++)
		cr_expect_eq(zsd_nodes_parse(table[i].list), table[i].nr, "'%s'", table[i].list);
}

Test(nodes, of_this_machine_are_one_at_least)
{
	cr_expect_geq(zsd_nodes_accounted(), 1);
}
