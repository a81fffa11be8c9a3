/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading records of the backing file. */

#include <errno.h>
#include <unistd.h>

#include "base/check.h"
#include "store/backing_internal.h"

static ssize_t read_some(const struct zs_backing *backing, void *buffer, size_t size, uint64_t offset)
{
	const struct zs_backing_faults *faults = backing->faults;
	ssize_t length;

	if (faults && faults->read)
		return faults->read(faults->context, backing->file.fd, buffer, size, offset);
	do {
		length = pread(backing->file.fd, buffer, size, (off_t)offset);
	} while (length < 0 && errno == EINTR);
	return length < 0 ? -errno : length;
}

int zs_backing_read_bytes(struct zs_backing *backing, void *buffer, size_t size, uint64_t offset)
{
	ssize_t length = read_some(backing, buffer, size, offset);

	if (length == (ssize_t)size) {
		zs_backing_count(backing, ZS_BACKING_COUNT_READS, 1);
		zs_backing_count(backing, ZS_BACKING_COUNT_READ_BYTES, size);
		return 0;
	}
	/* Its end within a range is none of ours: the file is as long as what was written. */
	zs_backing_count(backing, ZS_BACKING_COUNT_READ_ERRORS, 1);
	return -EIO;
}

/* Checks the record at a place, of whose segment `bytes` were read from there on. */
static int take_record(struct zs_backing *backing, const struct zs_place *place, char *at, struct zs_record *ret_record)
{
	uint32_t segment = zs_segment_of(&backing->segments, place->unit);
	uint64_t sequence = zs_segment_sequence(&backing->segments, segment);
	struct zs_place found;
	int error = zs_record_look(backing, sequence, place->unit, at, place->units * ZS_UNIT_BYTES, &found);

	if (!error && found.units != place->units)
		error = -EBADMSG;
	if (!error)
		error = zs_record_decode(backing, sequence, place, at, ret_record);
	zs_backing_count(backing, error ? ZS_BACKING_COUNT_CORRUPT : ZS_BACKING_COUNT_READ_RECORDS, 1);
	return error;
}

void zs_backing_read_range(struct zs_backing *backing, const struct zs_place *places, unsigned int nr, void *buffer,
			   size_t capacity, struct zs_record *ret_records, int *ret_errors)
{
	const struct zs_place *last = &places[nr - 1];
	uint64_t start = zs_align_down(places[0].unit * ZS_UNIT_BYTES, ZS_PAGE_SIZE);
	uint64_t end = zs_align_up((last->unit + last->units) * ZS_UNIT_BYTES, ZS_PAGE_SIZE);
	int error;

	zs_assert(end > start && end - start <= capacity && !((uintptr_t)buffer % ZS_PAGE_SIZE));
	error = zs_backing_read_bytes(backing, buffer, end - start, start);
	for (unsigned int i = 0; i < nr; i++)
		ret_errors[i] = error
					?: take_record(backing, &places[i],
						       (char *)buffer + (places[i].unit * ZS_UNIT_BYTES - start),
						       &ret_records[i]);
}

int zs_backing_read(struct zs_backing *backing, const struct zs_place *place, void *buffer, size_t capacity,
		    struct zs_record *ret_record)
{
	int error;

	zs_backing_read_range(backing, place, 1, buffer, capacity, ret_record, &error);
	return error;
}
