/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The encrypted backing file: nothing in the clear, nothing changed or moved unnoticed, read after a restart. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/backing_crypt.h"
#include "store/backing_internal.h"
#include "support/cold.h"
#include "support/options.h"
#include "zsmalloc/object.h"

#define NR 400

static struct test_cold *cold;

static void open_cold(void)
{
	cold = test_cold_create(0);
	cold->options.encrypt = true;
	cr_assert_eq(test_cold_open(cold), 0);
	cr_assert(test_cold_stats(cold).is_encrypted);
}

static void close_cold(void)
{
	test_cold_destroy(cold);
}

TestSuite(backing_crypt, .init = open_cold, .fini = close_cold);

static void append_all(void)
{
	for (uint32_t i = 1; i <= NR; i++)
		cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	test_cold_flush(cold);
}

Test(backing_crypt, records_are_read_after_a_restart_and_after_collection)
{
	append_all();
	test_cold_check(cold);
	test_cold_reopen(cold);
	test_cold_check(cold);
	for (uint32_t i = 1; i <= NR; i += 2)
		test_cold_free(cold, i);
	cr_assert_gt(test_cold_collect(cold, 30, 10), 0);
	test_cold_check(cold);
	test_cold_reopen(cold);
	test_cold_check(cold);
}

/* Another store with another file; the one before is gone. */
static void begin_anew(bool encrypt)
{
	test_cold_destroy(cold);
	cold = test_cold_create(0);
	cold->options.encrypt = encrypt;
	cr_assert_eq(test_cold_open(cold), 0);
}

/* Appends one whose payload is a text, and whose checksum is known. Answers the whole file. */
static char *write_text(const char *text, uint32_t *ret_checksum, size_t *ret_size)
{
	struct zs_object_info info = {.size = (uint32_t)strlen(text)};
	struct zs_record record = {.handle = {5}, .meta = zs_object_meta(&info), .payload = text};
	struct test_cold_object *object = &cold->objects[5];
	char *bytes = malloc(4 << 20);
	int fd;

	record.checksum = *ret_checksum = zs_object_checksum(record.meta, text);
	*object = (struct test_cold_object){.is_used = true, .is_pending = true};
	cr_assert_eq(zs_backing_append(cold->backing, &record, object), 0);
	test_cold_flush(cold);
	fd = open(cold->path, O_RDONLY);
	*ret_size = (size_t)pread(fd, bytes, 4 << 20, 0);
	close(fd);
	return bytes;
}

Test(backing_crypt, neither_payload_nor_checksum_nor_key_are_in_the_file)
{
	static const char text[] = "it was the best of times, it was the worst of times";
	uint32_t checksum;
	size_t size;
	char *bytes = write_text(text, &checksum, &size);

	cr_assert_gt(size, ZS_SEGMENT_MIN_BYTES);
	cr_assert_null(memmem(bytes, size, text, sizeof(text) - 1));
	cr_assert_null(memmem(bytes, size, &checksum, sizeof(checksum)));
	cr_assert_null(memmem(bytes, size, cold->backing->key, 16));
	free(bytes);
}

Test(backing_crypt, without_encryption_the_text_would_be_found)
{
	static const char text[] = "it was the best of times, it was the worst of times";
	uint32_t checksum;
	size_t size;
	char *bytes;

	begin_anew(false);
	bytes = write_text(text, &checksum, &size);
	cr_assert_not_null(memmem(bytes, size, text, sizeof(text) - 1));
	free(bytes);
}

Test(backing_crypt, a_sealed_text_opens_at_its_place_with_its_header_and_key_only)
{
	uint8_t key[ZS_CRYPT_KEY_BYTES] = {1, 2, 3};
	char header[20] = "header", text[100 + ZS_CRYPT_TAG_BYTES] = "text", sealed[sizeof(text)];
	struct zs_crypt_place place = {.sequence = 7, .unit = 9, .header = header, .header_bytes = 20}, other;

	zs_crypt_seal(key, &place, text, 100);
	memcpy(sealed, text, sizeof(text));
	for (unsigned int bit = 0; bit < 8 * sizeof(text); bit++) {
		memcpy(text, sealed, sizeof(text));
		text[bit / 8] ^= (char)(1 << bit % 8);
		cr_assert_eq(zs_crypt_open(key, &place, text, 100), -EBADMSG);
	}
	memcpy(text, sealed, sizeof(text));
	other = place;
	other.sequence++;
	cr_assert_eq(zs_crypt_open(key, &other, text, 100), -EBADMSG);
	other = place;
	other.unit++;
	cr_assert_eq(zs_crypt_open(key, &other, text, 100), -EBADMSG);
	header[3] ^= 1;
	cr_assert_eq(zs_crypt_open(key, &place, text, 100), -EBADMSG);
	header[3] ^= 1;
	key[31] ^= 1;
	cr_assert_eq(zs_crypt_open(key, &place, text, 100), -EBADMSG);
	key[31] ^= 1;
	memcpy(text, sealed, sizeof(text));
	cr_assert_eq(zs_crypt_open(key, &place, text, 100), 0);
	cr_assert_str_eq(text, "text");
}

/* What libsodium was given, each time: collection encrypts as well as appending. */
static struct nonce {
	uint8_t bytes[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
	uint8_t key[ZS_BACKING_KEY_BYTES];
} nonces[16 * NR];
static size_t nr_nonces;

int crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char *sealed, unsigned long long *sealed_bytes,
					       const unsigned char *text, unsigned long long bytes,
					       const unsigned char *header, unsigned long long header_bytes,
					       const unsigned char *secret, const unsigned char *nonce,
					       const unsigned char *key)
{
	typeof(&crypto_aead_xchacha20poly1305_ietf_encrypt) real;
	struct nonce *noted = &nonces[nr_nonces++];

	cr_assert_leq(nr_nonces, sizeof(nonces) / sizeof(nonces[0]));
	memcpy(noted->bytes, nonce, sizeof(noted->bytes));
	memcpy(noted->key, key, sizeof(noted->key));
	*(void **)&real = dlsym(RTLD_NEXT, "crypto_aead_xchacha20poly1305_ietf_encrypt");
	return real(sealed, sealed_bytes, text, bytes, header, header_bytes, secret, nonce, key);
}

static int compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct nonce));
}

/* Which half is replaced: each segment has some of either. */
static bool is_replaced(uint32_t object, unsigned int round)
{
	return object >> round % 4 & 1;
}

/* Frees half of them, has the rest collected, and appends again what is gone, after a restart. */
static void replace_half(unsigned int round)
{
	for (uint32_t i = 1; i <= NR; i++) {
		if (is_replaced(i, round))
			test_cold_free(cold, i);
	}
	cr_assert_gt(test_cold_collect(cold, 30, 10), 0);
	test_cold_reopen(cold);
	for (uint32_t i = 1; i <= NR; i++) {
		if (is_replaced(i, round))
			cr_assert_eq(test_cold_append(cold, i, 2300), 0);
	}
	test_cold_flush(cold);
}

Test(backing_crypt, no_nonce_is_used_twice)
{
	append_all();
	for (unsigned int round = 0; round < 8; round++)
		replace_half(round);
	test_cold_check(cold);
	/* Collection has encrypted anew; and places are used again: where a record lies alone would not do. */
	cr_assert_gt(nr_nonces, 5 * NR + NR / 2);
	cr_assert_gt(nr_nonces * 2300, 2 * test_cold_stats(cold).file_bytes);
	qsort(nonces, nr_nonces, sizeof(nonces[0]), compare_nonces);
	for (size_t i = 1; i < nr_nonces; i++)
		cr_assert_neq(compare_nonces(&nonces[i - 1], &nonces[i]), 0, "%zu of %zu", i, nr_nonces);
}

static unsigned long locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "VmLck: %lu", &kib) != 1)
		continue;
	fclose(file);
	return kib;
}

/* The limit of a process that is not root's may allow nothing. */
static bool may_lock(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool may;

	cr_assert_neq(memory, MAP_FAILED);
	may = !mlock(memory, bytes);
	munmap(memory, bytes);
	return may;
}

/* The page of the arena that has it, and that of the copy in use. Sanitizers make mlock(2) do nothing. */
Test(backing_crypt, the_key_is_locked_in_memory_as_long_as_it_is_there, .disabled = TEST_SANITIZED)
{
	if (!may_lock(16 << 10))
		return;
	cr_assert_geq(locked_kib(), 8);
	begin_anew(false);
	cr_assert_eq(locked_kib(), 0);
}

Test(backing_crypt, each_file_has_a_key_of_its_own)
{
	uint8_t key[ZS_BACKING_KEY_BYTES];

	memcpy(key, cold->backing->key, sizeof(key));
	cr_assert_neq(memcmp(key, (uint8_t[sizeof(key)]){0}, sizeof(key)), 0);
	test_cold_reopen(cold);
	cr_assert_eq(memcmp(key, cold->backing->key, sizeof(key)), 0);
	begin_anew(true);
	cr_assert_neq(memcmp(key, cold->backing->key, sizeof(key)), 0);
}
