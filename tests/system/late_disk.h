#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What late_disk.c tells of itself: the first page of a file that both sides map. */

#include <stdatomic.h>
#include <stdint.h>

struct late_disk {
	_Atomic uint64_t opens;
	/* What is under way keeps a file open: when this is as many, no write of anybody who is gone will come. */
	_Atomic uint64_t releases;
	_Atomic uint64_t begun, written; /* writes */
};
