#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocator: objects of 32 bytes to 64 KiB in zspages, named by handles.
 *
 * Words, one meaning each:
 *   page        4 KiB of the arena                    object    header and compressed payload
 *   zspage      run of pages cut into equal objects   handle    stable name of an object (zsmalloc/handle.h)
 *   size class  the zspages with objects of one size  location  where an object is; compaction changes it
 *   heap        what all pools share: the pages, the cache of handles and the cache of zspage descriptors
 *   pool        size classes and their zspages
 *
 * The life of an object: zs_pool_alloc() -> zs_obj_write() -> (the caller publishes the handle with one 8-byte store)
 * -> any number of zs_obj_read_begin()/_end() -> zs_pool_free(). An object is never changed in place.
 *
 * Context: every function may be called by any thread at any time unless it says otherwise. Locks taken: the size
 * class's, that of what a thread keeps, the slab caches', the pages'; never more than one of a kind, in the order of
 * base/lock.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "zsmalloc/handle.h"

struct zs_account;
struct zs_account_options;
struct zs_account_sum;
struct zs_arena;
struct zs_heap;
struct zs_pool;

/* The largest payload: one raw block of 64 KiB. */
#define ZS_OBJECT_MAX_BYTES ((size_t)64 << 10)

/* What the header of an object says besides its handle. */
struct zs_object_info {
	uint32_t size;	     /* payload, bytes */
	uint8_t codec;	     /* enum zs_codec_id, opaque here */
	uint16_t dictionary; /* 0 = none, opaque here; 11 bits */
	uint16_t owner;	     /* whom zs_obj_write() charges, see zsmalloc/account.h; not kept in the header */
	uint32_t units;	     /* of the backing file; 0 = the object is in memory. All else is 0 then: it must be read */
};

/* An object, valid between zs_obj_read_begin() and zs_obj_read_end(). */
struct zs_object {
	struct zs_handle handle;
	struct zs_object_info info;
	const void *payload;   /* NULL: it is in the backing file at place, and info.units says how long */
	uint32_t checksum;     /* as stored; zs_obj_verify() compares */
	struct zs_place place; /* units 0: it is in memory */
};

/* Frees what an object had in the backing file. Any thread, no lock held. */
typedef void zs_backed_free(void *context, struct zs_place place);

/* How hard an allocation may try when the heap's limit is near. */
enum zs_urgency {
	ZS_URGENCY_NEW,	    /* new data: leaves the reserve alone */
	ZS_URGENCY_RESERVE, /* overwrite that grows: may use the reserve (1/64 of the limit) */
	ZS_URGENCY_MUST,    /* overwrite that doesn't grow: may pass the limit for a moment, by one zspage a class */
};

/* A slab cache that all pools share, in the terms of slabinfo(5). */
struct zs_cache_stats {
	const char *name;
	uint64_t object_bytes;	   /* size of one object: objsize */
	uint64_t objects;	   /* in use: active_objs */
	uint64_t objects_total;	   /* that have memory: num_objs */
	uint64_t pages;		   /* with memory: num_slabs */
	uint64_t magazine_objects; /* free, in a thread's magazine */
	uint64_t lock_waits;	   /* so far */
	uint64_t lock_wait_ns;
};

struct zs_heap_stats {
	uint64_t limit_bytes;	       /* 0 = none */
	uint64_t used_bytes;	       /* pages of zspages, slot tables, handle words and dictionaries */
	uint64_t peak_bytes;	       /* highest used_bytes so far */
	uint64_t zspage_pages;	       /* pages in zspages */
	uint64_t reserve_pages;	       /* free pages with memory: for the next zspage, or not given back yet */
	uint64_t slot_table_pages;     /* pages of slot tables with memory */
	uint64_t dictionary_pages;     /* pages that dictionaries take, tables of the process included */
	uint64_t handle_pages;	       /* pages of handle words with memory */
	uint64_t populated_pages;      /* pages of zspages that were given memory so far */
	uint64_t punched_pages;	       /* pages given back to the system so far */
	uint64_t limit_hits;	       /* allocations refused by the limit so far */
	uint64_t leaked_objects;       /* damaged objects that could not be freed */
	struct zs_cache_stats handles; /* handle words */
	struct zs_cache_stats zspages; /* zspage descriptors */
};

struct zs_pool_stats {
	uint64_t objects;	  /* in use */
	uint64_t objects_total;	  /* in use or free in existing zspages */
	uint64_t pages;		  /* pages of all zspages */
	uint64_t freeable_pages;  /* what compaction would free at best */
	uint64_t compacted_pages; /* what it freed so far */
	uint64_t moved_objects;	  /* by compaction, so far */
	uint64_t lent_objects;	  /* allocations that a larger class had the room for, so far */
	uint64_t lock_waits;	  /* for size classes, so far */
	uint64_t lock_wait_ns;
};

/*
 * heap
 *
 * zs_heap_create() makes the shared part over an arena, which it borrows until zs_heap_destroy(). fresh says that the
 * arena was just created; otherwise the caller adopts every object that is still referenced (zs_pool_adopt()) and
 * ends the rebuild (see below) before anything else. Returns 0 or -ENOMEM.
 */
int zs_heap_create(struct zs_arena *arena, bool fresh, struct zs_heap **ret_heap);
void zs_heap_destroy(struct zs_heap *heap);

/*
 * Turns accounting on, see zsmalloc/account.h. Before the first object. Returns 0, -EINVAL or -ENOMEM.
 * zs_heap_account() answers the sums, or NULL while it is off.
 */
int zs_heap_start_account(struct zs_heap *heap, const struct zs_account_options *options);
struct zs_account *zs_heap_account(struct zs_heap *heap);

/*
 * Says who frees the places of objects in the backing file. Without it (NULL) objects that are there keep their places
 * and can be freed all the same, so that an arena that is opened without its backing file loses nothing: what is still
 * in use is seen when it is opened with it. Context: no other thread uses the heap.
 */
void zs_heap_set_backed(struct zs_heap *heap, zs_backed_free *free_place, void *context);

/* Bytes of arena memory that the heap may use; 0 = no limit. A limit below the present use refuses new data only. */
void zs_heap_set_limit(struct zs_heap *heap, uint64_t limit_bytes);
void zs_heap_stats(struct zs_heap *heap, struct zs_heap_stats *ret_stats);
/* One of the two caches that all pools of the heap share; zs_heap_stats() has both. */
enum zs_cache { ZS_CACHE_HANDLES, ZS_CACHE_ZSPAGES };
void zs_cache_stats(struct zs_heap *heap, enum zs_cache cache, struct zs_cache_stats *ret_stats);

/*
 * Says who gives memory back that was freed. Without a shrinker (NULL), who frees does it, a little at a time. With
 * one, who frees only tells it, once, that there is some (it should call zs_heap_shrink() soon: what has come together
 * by then costs less), and once more when it is much (urgent). Should that take it long, who frees gives memory back
 * again. wish is called under no lock of this folder. Context: set while nobody frees.
 */
typedef void zs_shrink_wish(void *context, bool urgent);
void zs_heap_set_shrinker(struct zs_heap *heap, zs_shrink_wish *wish, void *context);
/* Gives back free memory, but for the reserve. Returns when that is done, also by others. */
void zs_heap_shrink(struct zs_heap *heap);
/* Gives back all free memory that was kept: the system is short of it. True if there was some. */
bool zs_heap_relieve(struct zs_heap *heap);

/* Around freeing many objects: up to 16 MiB may wait meanwhile, to be given back to the system in one go. */
void zs_heap_bulk_begin(struct zs_heap *heap);
void zs_heap_bulk_end(struct zs_heap *heap);

/*
 * Counts pages of slot tables against the limit; memory is the caller's business. Returns 0 or -ENOSPC.
 */
int zs_heap_charge_table(struct zs_heap *heap, uint64_t nr_pages, enum zs_urgency urgency);
void zs_heap_uncharge_table(struct zs_heap *heap, uint64_t nr_pages);
/* The same for dictionaries. */
int zs_heap_charge_dictionary(struct zs_heap *heap, uint64_t nr_pages, enum zs_urgency urgency);
void zs_heap_uncharge_dictionary(struct zs_heap *heap, uint64_t nr_pages);

/*
 * pool
 */
int zs_pool_create(struct zs_heap *heap, struct zs_pool **ret_pool);
/* How the size classes of a pool are guarded. One lock for all exists so that a benchmark can show what it costs. */
enum zs_locking { ZS_LOCKING_CLASS, ZS_LOCKING_POOL };
/* Before the first object; a new pool has ZS_LOCKING_CLASS. */
void zs_pool_set_locking(struct zs_pool *pool, enum zs_locking locking);
/* Asserts that no object is left. NULL is allowed. */
void zs_pool_destroy(struct zs_pool *pool);
/* Frees what is derived and leaves the objects in the arena, for whoever opens it next. NULL is allowed. */
void zs_pool_abandon(struct zs_pool *pool);

/*
 * Makes room for a payload of size bytes (1 to ZS_OBJECT_MAX_BYTES, asserted). The object can't be read
 * before zs_obj_write(), which must follow. Returns 0, -ENOSPC (the limit) or -ENOMEM (the system).
 */
int zs_pool_alloc(struct zs_pool *pool, size_t size, enum zs_urgency urgency, struct zs_handle *ret_handle);

/* Writes header and payload of a new object, once; it can be read from then on. info->size is that of the alloc. */
void zs_obj_write(struct zs_pool *pool, struct zs_handle handle, const struct zs_object_info *info,
		  const void *payload);
/*
 * The same, for a caller that is going to free objects: zs_obj_prefetch() of soon is done while the copy is on its way
 * to memory, where it costs least. soon: what the new object takes the place of; or, better, what the next one will.
 */
void zs_obj_replace(struct zs_pool *pool, struct zs_handle handle, const struct zs_object_info *info,
		    const void *payload, struct zs_handle soon);

/*
 * Frees the object as soon as no reader has it pinned. Asserts that the handle names an object: so a second free stops
 * the program as long as the handle was not given out again. Once it was, a second free can't be told from the first
 * one of the new object: the caller has taken the handle out of its one slot by an exchange, so that there is none.
 * Returns what its header said of it; if the header is damaged the object
 * is left where it is (and counted in leaked_objects), size and units then being 0.
 */
void zs_pool_free(struct zs_pool *pool, struct zs_handle handle, struct zs_object_info *ret_info);

/* Counts an object that nobody can name any more, since what named it is damaged: the next open reclaims it. */
void zs_pool_note_leak(struct zs_pool *pool);

/*
 * Ask for the memory that zs_pool_free() of this handle is going to need, and don't wait for it: first the handle word,
 * and when that has come (some 100 ns later, if it was nowhere near) what it says. Hints: the handle may be stale.
 */
void zs_handle_prefetch(struct zs_pool *pool, struct zs_handle handle);
void zs_obj_prefetch(struct zs_pool *pool, struct zs_handle handle);
/* All of the object, to be read; after zs_handle_prefetch() as well. */
void zs_obj_prefetch_payload(struct zs_pool *pool, struct zs_handle handle);
/* Both, some objects ahead: before each zs_pool_free() of a caller that frees nr handles in turn, next being it. */
void zs_handles_prefetch(struct zs_pool *pool, const struct zs_handle *handles, unsigned int nr, unsigned int next);

/*
 * Memory that the live object behind this handle costs where it is: as zs_pool_cost(), or up to a fifth more if a
 * larger class has lent the room. 0 if there is none. A hint: it may go.
 */
size_t zs_obj_cost(struct zs_pool *pool, struct zs_handle handle);

/*
 * Pins the object, in memory or in the backing file. Returns 0; -EAGAIN if the handle names nothing (any more), and the
 * caller reads its slot again;
 * -EBADMSG if handle word or header are damaged (nothing is pinned then).
 * The caller must look at its slot once more after this: only if it still holds the handle is the object its own.
 */
int zs_obj_read_begin(struct zs_pool *pool, struct zs_handle handle, struct zs_object *ret_object);
void zs_obj_read_end(struct zs_pool *pool, const struct zs_object *object);
/* Compares the payload with the checksum of the header. Returns 0 or -EBADMSG. Between begin and end. */
int zs_obj_verify(const struct zs_object *object);

/*
 * the backing file (zsmalloc/evict.c)
 *
 * zs_obj_evict(): the caller has pinned an object and written it to the backing file: its memory is freed, the object
 * is there from now on. zs_obj_restore(): the caller has pinned a backed object and read it (info, payload and checksum
 * are filled in, owner says whom to charge): it is in memory from now on, and the caller frees its place. Either way it
 * stays pinned for zs_obj_read_end(). Return 0; -EBUSY (somebody else has it pinned), -ESTALE (no longer referenced),
 * and zs_obj_restore() -ENOSPC or -ENOMEM: then nothing has changed.
 *
 * zs_obj_relocate(): the record of an object that nobody has pinned was copied from one place to another; false if it
 * is not at the old one, or is pinned: then nothing has changed. zs_obj_is_at() tells beforehand. Any handle.
 */
int zs_obj_evict(struct zs_pool *pool, const struct zs_object *object, struct zs_place place);
int zs_obj_restore(struct zs_pool *pool, const struct zs_object *object, enum zs_urgency urgency);
bool zs_obj_relocate(struct zs_heap *heap, struct zs_handle handle, struct zs_place from, struct zs_place to);
bool zs_obj_is_at(struct zs_heap *heap, struct zs_handle handle, struct zs_place place);
/* Where the object of a handle is in the backing file; false if it isn't there. A hint, unless nobody else is about. */
bool zs_obj_place(struct zs_heap *heap, struct zs_handle handle, struct zs_place *ret_place);

/* Memory that an object with this payload costs: its share of a zspage of its class, rounded up to bytes. */
size_t zs_pool_cost(size_t size);
/* True if storing size bytes costs no less than storing the raw block does: compression does not pay a class. */
bool zs_pool_is_huge(size_t size, size_t block_size);

void zs_pool_stats(struct zs_pool *pool, struct zs_pool_stats *ret_stats);

/*
 * Moves objects together and gives the zspages that get empty back, until page_budget pages are free or nothing is left
 * to do; the next call goes on where this one stopped. Returns the pages freed: more than the budget by one zspage, or
 * by those in which threads keep free objects of one class. Readers and writers go on: an object in use stays where it
 * is, and one that moves is away for the time of its copy.
 */
uint64_t zs_pool_compact(struct zs_pool *pool, uint64_t page_budget);

/*
 * Moves a page of the pages region to another node of the machine's memory, and what lies on it in the accounts.
 * Accounting must be on. Returns 0, -EINVAL (no such page in use, or no such node) or what move_pages(2) answered; then
 * nothing has changed.
 */
int zs_pool_migrate_page(struct zs_pool *pool, uint32_t page, unsigned int node);

/* Adds up the payload and the cost of all objects by walking over them. Context: no other thread uses the pool. */
void zs_pool_sum(struct zs_pool *pool, struct zs_account_sum *ret_sum);

/* Walks every structure and asserts the invariants. Context: no other thread uses the pool. */
void zs_pool_check(struct zs_pool *pool);
/* Prints the table of size classes. */
void zs_pool_dump(struct zs_pool *pool, FILE *stream);

/*
 * rebuild: after a restart, before any other use, by one thread
 *
 * zs_pool_adopt() says that a slot of this owner refers to this handle. Returns 0 and the object's info; -EBADMSG if
 * there is no sound object behind it, or -EEXIST if the handle was adopted before. zs_pool_rebuild_end(), once for each
 * pool, rebuilds the free lists of its zspages; zs_heap_rebuild_end(), last, those of handles and pages, and frees
 * whatever was not adopted.
 */
int zs_pool_adopt(struct zs_pool *pool, struct zs_handle handle, unsigned int owner, struct zs_object_info *ret_info);
void zs_pool_rebuild_end(struct zs_pool *pool);
void zs_heap_rebuild_end(struct zs_heap *heap);
