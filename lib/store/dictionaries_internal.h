#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a store knows of its dictionaries; for this folder and for tests. */

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/lock.h"
#include "codec/dictionary.h"
#include "store/dictionaries.h"

/* Objects name a dictionary by 11 bits; 0 is none. */
#define ZS_DICTIONARIES_MAX 2047

/* At the beginning of a dictionary's place in the arena; its content follows. */
struct zs_dictionary_entry {
	_Atomic uint64_t id; /* sealed (base/residue.h); 0 = the place is free. The rest is constant while it isn't */
	uint64_t device_id;
	uint64_t content_checksum; /* XXH3-64 */
	int64_t created_sec;
	uint32_t size; /* of the content */
	uint32_t version;
	uint8_t reserved[16]; /* 0 */
	uint64_t checksum;    /* XXH3-64 of id and of all from device_id on */
};

static_assert(sizeof(struct zs_dictionary_entry) == 64, "the entry's size is part of the arena's layout");

struct zs_dictionary_place {
	_Atomic uint64_t users;		  /* those who have borrowed it, and ZS_DICTIONARY_LIVE. seq_cst */
	_Atomic uint64_t nr_objects;	  /* in memory that name it. release, pairs with is_unused() */
	uint64_t device_id;		  /* whose it is; guarded by lock, as nr_pages */
	uint64_t nr_pages;		  /* charged */
	struct zs_dictionary *dictionary; /* constant while live; NULL: it is damaged */
};

#define ZS_DICTIONARY_LIVE (UINT64_C(1) << 63)

struct zs_dictionaries {
	struct zs_lock lock; /* makes, retires and lists */
	unsigned int nr;     /* places; immutable */
	struct zs_dictionary_place *places;
};

/* Returns 0 or -ENOMEM. */
int zs_dictionaries_init(struct zs_store *store);
/* The dictionaries stay in the arena. */
void zs_dictionaries_deinit(struct zs_store *store);

/*
 * After a restart, when all devices are there and their objects counted: takes over what is sound, and gives back what
 * is of no device any more. Returns 0 or -ENOMEM.
 */
int zs_dictionaries_adopt(struct zs_store *store);

/* A number that no dictionary ever had. */
uint64_t zs_dictionary_new_id(struct zs_store *store);
/* What it takes once it is published: in the arena, and its decoder. */
uint64_t zs_dictionary_pages(const struct zs_dictionary *dictionary);

/*
 * Makes a dictionary the current one of a device, and takes it over if that works. Returns 0 and its version; -EBUSY
 * (the device has as many as it can), -ENFILE (the store has), -ENOSPC (a limit) or -ENOMEM.
 */
int zs_dictionary_publish(struct zs_device *device, struct zs_dictionary *dictionary, uint32_t *ret_version);

/*
 * Borrows a dictionary that an object names. Returns 0, or -EBADMSG if it is damaged or there is none; only then that
 * the object is still its block's after this says that it is the right one. NULL may be put.
 */
int zs_dictionary_get(struct zs_store *store, unsigned int number, struct zs_dictionary **ret_dictionary);
void zs_dictionary_put(struct zs_store *store, unsigned int number);

/* Borrows the device's current dictionary: returns its number, or 0 if it has none. */
unsigned int zs_dictionary_current(struct zs_device *device, struct zs_dictionary **ret_dictionary);

/* Counts an object in memory: it comes (sign 1) or goes (UINT64_MAX). */
void zs_dictionary_count_object(struct zs_store *store, unsigned int number, uint64_t sign);

/* Gives back all dictionaries of a device that has no objects any more; waits for who has borrowed one by mistake. */
void zs_dictionaries_forget(struct zs_device *device);

/* Memory of a device's dictionaries, as it was charged. */
uint64_t zs_dictionaries_bytes(struct zs_device *device);
/* Asserts that as many objects name each dictionary; [ZS_DICTIONARIES_MAX + 1]. Context: no other thread. */
void zs_dictionaries_check(struct zs_store *store, const uint64_t *nr_objects);
