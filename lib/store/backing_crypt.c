/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Encryption of records in the backing file. */

#include "store/backing_crypt.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"

static_assert(ZS_CRYPT_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "libsodium's");
static_assert(ZS_CRYPT_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "libsodium's");

struct nonce {
	uint64_t sequence;
	uint64_t unit;
	uint64_t zero;
};

static_assert(sizeof(struct nonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "libsodium's");

static struct nonce nonce_of(const struct zs_crypt_place *place)
{
	return (struct nonce){.sequence = place->sequence, .unit = place->unit};
}

int zs_crypt_start(void)
{
	return sodium_init() < 0 ? -EOPNOTSUPP : 0;
}

void zs_crypt_seal(const uint8_t *key, const struct zs_crypt_place *place, void *text, size_t bytes)
{
	struct nonce nonce = nonce_of(place);

	zs_assert(!crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, text, bytes, place->header,
							      place->header_bytes, NULL, (const uint8_t *)&nonce, key));
}

int zs_crypt_open(const uint8_t *key, const struct zs_crypt_place *place, void *text, size_t bytes)
{
	struct nonce nonce = nonce_of(place);

	return crypto_aead_xchacha20poly1305_ietf_decrypt(text, NULL, NULL, text, bytes + ZS_CRYPT_TAG_BYTES,
							  place->header, place->header_bytes, (const uint8_t *)&nonce,
							  key)
		       ? -EBADMSG
		       : 0;
}
