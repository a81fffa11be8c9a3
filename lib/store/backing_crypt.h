#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption of records in the backing file: XChaCha20-Poly1305 (libsodium), each record for itself.
 *
 *   key     random, made with the file's id; in the arena, that is in memory only. The disk never sees it: who has the
 *           disk and not the arena has nothing, and an arena that is opened again reads its records
 *   nonce   sequence of the segment's use and the record's unit: no two records of a key have the same, as a sequence
 *           is given out once, and a unit is written once in each
 *   bound   header of the record, that is handle, size, codec, device, block: a record that was put into another's
 *           place is refused
 *
 * Handles, sizes, devices and block numbers are in the clear; the payload and its checksum are not.
 *
 * Context: any thread.
 */

#include <stddef.h>
#include <stdint.h>

#define ZS_CRYPT_KEY_BYTES 32
#define ZS_CRYPT_TAG_BYTES 16

/* Where a record lies, and what is bound to it. */
struct zs_crypt_place {
	uint64_t sequence;
	uint64_t unit;
	const void *header;
	size_t header_bytes;
};

/* Returns 0 or -EOPNOTSUPP. */
int zs_crypt_start(void);
/* Encrypts in place, and puts the tag behind the text. */
void zs_crypt_seal(const uint8_t *key, const struct zs_crypt_place *place, void *text, size_t bytes);
/* Decrypts in place, if the tag behind the text is right. Returns 0 or -EBADMSG. */
int zs_crypt_open(const uint8_t *key, const struct zs_crypt_place *place, void *text, size_t bytes);
