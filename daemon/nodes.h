#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nodes of the machine's memory. Context: any thread. */

/* How many nodes a list such as "0-1,3" reaches over, gaps included: one more than the last; 0 if it is no list. */
unsigned int zsd_nodes_parse(const char *list);

/* How many the store is to keep accounts for; 0, after a message, if there are more than it can. */
unsigned int zsd_nodes_accounted(void);
