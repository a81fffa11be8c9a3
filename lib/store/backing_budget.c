/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The budget of the backing file. It is in the arena while a store lives; a copy is in the file, for the store that has
 * the file next, since it is about what a disk bears. Two pages are written in turn: one of them is whole at any time.
 * Each is on the disk, not in its cache, before what it says is written: half a millisecond on a disk that is fast.
 */

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "store/backing_internal.h"

void zs_backing_get_budget(struct zs_backing *backing, struct zs_backing_budget *ret_budget)
{
	const struct zs_backing_attributes *attributes = zs_segments_own_attributes(&backing->segments);

	zs_assert(attributes);
	*ret_budget = (struct zs_backing_budget){
		.day = attributes->budget_day,
		.written_bytes = attributes->budget_written_bytes,
		.limit_bytes = attributes->budget_limit_bytes,
		.remaining_bytes = attributes->budget_remaining_bytes,
		.is_counted = attributes->flags & ZS_BACKING_COUNTED,
		.configured_limit_bytes = backing->configured_limit_bytes,
		.configured_total_bytes = backing->configured_total_bytes,
	};
}

static void put_into(struct zs_backing_attributes *attributes, const struct zs_backing_budget *budget)
{
	attributes->budget_day = budget->day;
	attributes->budget_written_bytes = budget->written_bytes;
	attributes->budget_limit_bytes = budget->limit_bytes;
	attributes->budget_remaining_bytes = budget->remaining_bytes;
	attributes->flags &= ~ZS_BACKING_COUNTED;
	attributes->flags |= budget->is_counted ? ZS_BACKING_COUNTED : 0;
}

void zs_backing_set_budget(struct zs_backing *backing, const struct zs_backing_budget *budget)
{
	const struct zs_backing_attributes *current = zs_segments_own_attributes(&backing->segments);
	struct zs_backing_attributes attributes;

	zs_assert(current);
	attributes = *current;
	put_into(&attributes, budget);
	/* The page has memory. */
	zs_assert(!zs_segments_set_attributes(backing->arena, &attributes));
	explicit_bzero(attributes.key, sizeof(attributes.key));
	backing->configured_limit_bytes = budget->configured_limit_bytes;
	backing->configured_total_bytes = budget->configured_total_bytes;
}

/*
 * in the file
 */

static uint64_t page_offset(uint64_t sequence)
{
	return (ZS_BUDGET_FIRST_PAGE + sequence % 2) * ZS_PAGE_SIZE;
}

static uint64_t page_checksum(const struct zs_budget_page *page)
{
	return XXH3_64bits(page, offsetof(struct zs_budget_page, checksum));
}

static bool is_sound(const struct zs_budget_page *page)
{
	return !memcmp(page->magic, ZS_BUDGET_MAGIC, sizeof(page->magic)) && page->checksum == page_checksum(page);
}

/* Takes a page's content if it is newer than what is known. */
static void take_page(struct zs_backing *backing, const struct zs_budget_page *page)
{
	if (!is_sound(page) || page->sequence <= backing->kept_sequence)
		return;
	backing->kept_sequence = page->sequence;
	backing->kept = (struct zs_backing_budget){
		.day = page->day,
		.written_bytes = page->written_bytes,
		.limit_bytes = page->limit_bytes,
		.remaining_bytes = page->remaining_bytes,
		.is_counted = page->is_counted,
		.configured_limit_bytes = page->configured_limit_bytes,
		.configured_total_bytes = page->configured_total_bytes,
	};
}

void zs_budget_load(struct zs_backing *backing, struct zs_backing_attributes *attributes)
{
	for (unsigned int i = 0; i < 2; i++) {
		ssize_t length = pread(backing->file.fd, backing->page, ZS_PAGE_SIZE, (off_t)page_offset(i));

		if (length == (ssize_t)ZS_PAGE_SIZE)
			take_page(backing, (const void *)backing->page);
	}
	backing->configured_limit_bytes = backing->kept.configured_limit_bytes;
	backing->configured_total_bytes = backing->kept.configured_total_bytes;
	if (attributes)
		put_into(attributes, &backing->kept);
}

/* Without a limit it doesn't matter how much was written. */
static bool is_kept(const struct zs_backing *backing, const struct zs_backing_budget *budget)
{
	const struct zs_backing_budget *kept = &backing->kept;
	bool same_limits = budget->limit_bytes == kept->limit_bytes && budget->is_counted == kept->is_counted &&
			   budget->configured_limit_bytes == kept->configured_limit_bytes &&
			   budget->configured_total_bytes == kept->configured_total_bytes;

	if (!same_limits || (!budget->limit_bytes && !budget->is_counted))
		return same_limits;
	return budget->day == kept->day && budget->written_bytes == kept->written_bytes &&
	       budget->remaining_bytes == kept->remaining_bytes;
}

static void fill_page(struct zs_backing *backing, const struct zs_backing_budget *budget, uint64_t sequence)
{
	struct zs_budget_page page = {
		.sequence = sequence,
		.day = budget->day,
		.written_bytes = budget->written_bytes,
		.limit_bytes = budget->limit_bytes,
		.remaining_bytes = budget->remaining_bytes,
		.is_counted = budget->is_counted,
		.configured_limit_bytes = budget->configured_limit_bytes,
		.configured_total_bytes = budget->configured_total_bytes,
	};

	memcpy(page.magic, ZS_BUDGET_MAGIC, sizeof(page.magic));
	page.checksum = page_checksum(&page);
	memset(backing->page, 0, ZS_PAGE_SIZE);
	memcpy(backing->page, &page, sizeof(page));
}

void zs_backing_keep_budget(struct zs_backing *backing, const struct zs_backing_budget *budget)
{
	const struct iovec page = {.iov_base = backing->page, .iov_len = ZS_PAGE_SIZE};
	uint64_t sequence = backing->kept_sequence + 1;
	ssize_t length;

	if (is_kept(backing, budget))
		return;
	fill_page(backing, budget, sequence);
	length = pwritev2(backing->file.fd, &page, 1, (off_t)page_offset(sequence), RWF_DSYNC);
	if (length == (ssize_t)ZS_PAGE_SIZE) {
		backing->kept = *budget;
		backing->kept_sequence = sequence;
		backing->keeping_failed = false;
		return;
	}
	/* It is tried again with what is written next. */
	if (!backing->keeping_failed)
		zs_log(ZS_LOG_WARNING,
		       "backing file %s: its limits can't be kept there (%s); they begin anew if zsd is "
		       "killed now",
		       backing->file.path, length < 0 ? strerror(errno) : "short write");
	backing->keeping_failed = true;
}
