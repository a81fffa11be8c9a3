#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Did you mean: what somebody may have wanted to type. */

#include <stdbool.h>

struct zsctl_suggestion {
	const char *typed;
	const char *best; /* NULL as long as nothing is near enough */
	unsigned int distance;
};

void zsctl_suggest_init(struct zsctl_suggestion *suggestion, const char *typed);
/* Considers one more candidate, which stays the caller's. */
void zsctl_suggest_offer(struct zsctl_suggestion *suggestion, const char *candidate);
