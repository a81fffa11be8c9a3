#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Circular doubly linked list whose links live in the entries. An unlinked entry points to itself. */

#include <stdbool.h>

#include "base/bits.h"

struct zs_list {
	struct zs_list *next;
	struct zs_list *previous;
};

#define zs_list_entry(link, type, member) zs_container_of(link, type, member)
#define zs_list_for_each(link, list)	  for (struct zs_list *link = (list)->next; link != (list); link = link->next)

static inline void zs_list_init(struct zs_list *list)
{
	list->next = list;
	list->previous = list;
}

static inline bool zs_list_empty(const struct zs_list *list)
{
	return list->next == list;
}

/* Puts link at the front. */
static inline void zs_list_push(struct zs_list *list, struct zs_list *link)
{
	link->next = list->next;
	link->previous = list;
	list->next->previous = link;
	list->next = link;
}

static inline void zs_list_unlink(struct zs_list *link)
{
	link->next->previous = link->previous;
	link->previous->next = link->next;
	zs_list_init(link);
}
