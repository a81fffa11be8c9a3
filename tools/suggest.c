/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Did you mean. */

#include "suggest.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "base/bits.h"

/* Longer words are no typing errors of ours: the longest is INCOMPRESSIBLE. */
#define WORD_MAX 24

/* Edits (a letter more, less, or another one) that make b of a; case is no difference. WORD_MAX if a is too long. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[WORD_MAX + 1];
	size_t length_a = strlen(a), length_b = strlen(b);

	if (length_a > WORD_MAX || length_b > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= length_a; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= length_b; j++) {
			bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
			unsigned int replaced = diagonal + !same;

			diagonal = row[j];
			row[j] = (unsigned int)zs_min(replaced, zs_min(row[j], row[j - 1]) + 1);
		}
	}
	return row[length_b];
}

void zsctl_suggest_init(struct zsctl_suggestion *suggestion, const char *typed)
{
	/* Two edits at most, and fewer than half of the letters: "ls" is not "add". */
	unsigned int limit = (unsigned int)zs_min(3, (strlen(typed) + 1) / 2 + 1);

	*suggestion = (struct zsctl_suggestion){.typed = typed, .distance = limit};
}

void zsctl_suggest_offer(struct zsctl_suggestion *suggestion, const char *candidate)
{
	size_t length = strlen(suggestion->typed);
	unsigned int distance = edit_distance(suggestion->typed, candidate);

	/* A word that was not typed to its end. */
	if (length >= 2 && strncasecmp(suggestion->typed, candidate, length) == 0)
		distance = 0;
	if (distance >= suggestion->distance)
		return;
	suggestion->best = candidate;
	suggestion->distance = distance;
}
