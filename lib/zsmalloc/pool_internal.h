#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The structures behind zsmalloc/pool.h; for this folder and for tests. */

#include <assert.h>
#include <stddef.h>

#include "base/lock.h"
#include "base/thread.h"
#include "zsmalloc/account.h"
#include "zsmalloc/arena.h"
#include "zsmalloc/geometry.h"
#include "zsmalloc/pages.h"
#include "zsmalloc/slab.h"
#include "zsmalloc/zspage.h"

/* Every page starts with handles of index 512n: the first page of handle words has 511. */
#define ZS_HANDLES_PER_PAGE (ZS_PAGE_SIZE / sizeof(uint64_t))

/* Pages of descriptors that may wait to be dropped: 256 KiB. */
#define ZS_HEAP_DROPS 64

struct zs_heap {
	struct zs_arena *arena;		    /* borrowed */
	const struct zs_geometry *geometry; /* immutable */
	struct zs_pages pages;
	struct zs_slab handles; /* of handle words in the arena */
	struct zs_slab zspages; /* of struct zspage in zspage_memory */
	void *zspage_memory;
	uint64_t zspage_memory_bytes;
	uint32_t drops[ZS_HEAP_DROPS]; /* pages of zspage_memory; under zspages.lock */
	unsigned int nr_drops;	       /* the same */
	struct zs_account *account;    /* NULL: off */
	uint64_t *adopted;	       /* bit per handle, while the heap is rebuilt; else NULL */
	uint64_t adopted_bytes;
	_Atomic uint64_t nr_leaked; /* relaxed, statistics */
	zs_backed_free *free_place; /* NULL: there is no backing file */
	void *backed_context;
};

struct zs_size_class {
	/*
	 * What every allocation and every free writes is in one cache line: these, the lock, and what comes next.
	 */
	_Alignas(ZS_NO_SHARE) _Atomic uint32_t nr_objects; /* in use. relaxed: whoever wants to borrow looks */
	_Atomic uint32_t nr_zspages;			   /* the same */
	uint16_t occupied;				   /* bit per group but FULL: its list is not empty */
	struct zs_lock lock;				   /* guards all of this, and the zspages of the class */
	_Atomic(const void *) next;			   /* object to be handed out next, or NULL; relaxed, a hint */
	_Atomic uint32_t nr_may_keep;			   /* kept objects that there may be, see kept.c; the same */
	uint64_t nr_lent;				   /* objects handed out to smaller classes, so far */
	uint32_t group_zspages[ZS_FULLNESS_NR];		   /* how many of each group there are */
	/*
	 * Zspages by fullness, but for the full ones: most are, so that most allocations fill one and most frees are of
	 * one that was full. A list of them would be long, and take the lines of neighbours that are in no cache.
	 */
	struct zs_list groups[ZS_FULLNESS_FULL];
};

static_assert(offsetof(struct zs_size_class, nr_lent) <= 64, "a cache line has what is hot");

/* Free objects of a class that a thread may keep at hand at most. */
#define ZS_KEPT_MAX 8

/* Those that one thread keeps, zsmalloc/kept.c: two cache lines, the second of which is for the last four. */
struct zs_kept {
	_Alignas(ZS_CACHE_LINE) struct zs_lock lock; /* guards all of this */
	_Atomic uint32_t nr;			     /* relaxed: who has not the lock may look, as at the next */
	_Atomic uint32_t max;			     /* how many they may be; written under the class's lock */
	_Atomic uint64_t words[ZS_KEPT_MAX];	     /* where they are: as a handle word says it */
};

static_assert(sizeof(struct zs_kept) == 2 * ZS_CACHE_LINE, "no line more than it takes");

struct zs_pool {
	struct zs_heap *heap;		     /* borrowed */
	unsigned int number;		     /* of the pool in the process, for messages; immutable */
	bool has_one_lock;		     /* ZS_LOCKING_POOL; set before the first object */
	_Atomic uint64_t nr_compacted_pages; /* relaxed, statistics, as the next */
	_Atomic uint64_t nr_moved;
	_Atomic unsigned int nr_kept_tables; /* relaxed: of those that follow, some are there */
	/* What each thread keeps of each class; NULL: nothing yet. release when it is set, immutable from then on. */
	_Atomic(struct zs_kept *) kept[ZS_THREADS_MAX];
	struct zs_size_class classes[ZS_CLASSES_MAX];
};

static inline _Atomic uint64_t *heap_handle_word(const struct zs_heap *heap, uint32_t handle)
{
	return (_Atomic uint64_t *)zs_slab_at(&heap->handles, handle);
}

/* True if a handle can have this index. */
static inline bool heap_handle_is_valid(const struct zs_heap *heap, uint32_t handle)
{
	return handle && handle / ZS_HANDLES_PER_PAGE < heap->handles.nr_pages_max;
}

/* The lock that guards a class. */
static inline struct zs_lock *pool_lock(struct zs_pool *pool, unsigned int class)
{
	return &pool->classes[pool->has_one_lock ? 0 : class].lock;
}

static inline struct zspage *heap_zspage(const struct zs_heap *heap, uint32_t index)
{
	return zs_slab_at(&heap->zspages, index);
}

static inline uint32_t heap_zspage_index(const struct zs_heap *heap, const struct zspage *zspage)
{
	return (uint32_t)(zspage - (const struct zspage *)heap->zspage_memory);
}

static inline struct zs_object_header *heap_object(const struct zs_heap *heap, struct zs_location location)
{
	char *zspage = zs_pages_at(&heap->pages, location.page);

	return (struct zs_object_header *)(void *)(zspage + (size_t)location.index *
								    heap->geometry->classes[location.class].size);
}

/* True if an object can be at location: it lies inside the arena, whatever is there. */
static inline bool heap_location_is_valid(const struct zs_heap *heap, struct zs_location location)
{
	const struct zs_class_shape *shape = &heap->geometry->classes[location.class];

	return location.class < heap->geometry->nr_classes && location.index < shape->objects &&
	       location.page < heap->pages.nr_pages && shape->pages <= heap->pages.nr_pages - location.page;
}

/* Where the mark of a lent object is, and what it is, see zsmalloc/object.h. */
static inline uint32_t *heap_lent_mark(const struct zs_heap *heap, struct zs_location location)
{
	char *object = (char *)heap_object(heap, location);

	return (uint32_t *)(void *)(object + heap->geometry->classes[location.class].size - sizeof(uint32_t));
}

static inline uint32_t heap_lent_mark_value(const struct zs_heap *heap, struct zs_location location)
{
	const struct zs_object_header *header = heap_object(heap, location);

	return zs_object_lent_mark(atomic_load_explicit(&header->handle, memory_order_relaxed), header->meta);
}

/* Writes the mark if the object, whose header is written, is lent. */
static inline void heap_mark_lent(const struct zs_heap *heap, struct zs_location location)
{
	size_t size = zs_object_info(heap_object(heap, location)->meta).size + ZS_OBJECT_HEADER_BYTES;

	if (location.class && size <= heap->geometry->classes[location.class - 1].size)
		*heap_lent_mark(heap, location) = heap_lent_mark_value(heap, location);
}

/* True if the size in an object's header is one of its class; or of one that this class lends to, and it is marked. */
static inline bool heap_size_is_sound(const struct zs_heap *heap, struct zs_location location)
{
	size_t size = zs_object_info(heap_object(heap, location)->meta).size;
	unsigned int class;

	if (!size || size > ZS_OBJECT_MAX_BYTES)
		return false;
	class = zs_geometry_class(heap->geometry, size + ZS_OBJECT_HEADER_BYTES);
	if (class == location.class)
		return true;
	return zs_geometry_lends(heap->geometry, location.class, class) &&
	       *heap_lent_mark(heap, location) == heap_lent_mark_value(heap, location);
}

/* Adds to a counter of a class. Under class->lock, so that it takes no locked instruction. */
static inline void size_class_count(_Atomic uint32_t *counter, int number)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + (uint32_t)number,
			      memory_order_relaxed);
}

/*
 * True if the free objects of a class fill a zspage: one can be emptied into the others, or its objects be lent. Under
 * class->lock; without it the answer may be out of date.
 */
static inline bool size_class_has_spare_zspage(const struct zs_pool *pool, unsigned int index)
{
	const struct zs_size_class *class = &pool->classes[index];
	uint64_t objects = pool->heap->geometry->classes[index].objects;
	uint64_t used = atomic_load_explicit(&class->nr_objects, memory_order_relaxed);

	return atomic_load_explicit(&class->nr_zspages, memory_order_relaxed) * objects >= used + objects;
}

/* Puts a zspage that is new, or has changed its fullness, on the list where it belongs, if any. Under class->lock. */
void size_class_refile(struct zs_heap *heap, struct zs_size_class *class, struct zspage *zspage);
/* Takes a zspage off its list. Under class->lock. */
void size_class_remove(struct zs_size_class *class, struct zspage *zspage);
/* The fullest zspage with a free object, or NULL. Under class->lock. */
struct zspage *size_class_find(struct zs_size_class *class);

/*
 * Room for an object of a class, the handle written into it; the caller stores its location in the handle word.
 * ret_fresh as zs_handle_is_fresh(). Locks: class, and slab and pages without it. Returns 0, -ENOSPC or -ENOMEM.
 */
int pool_take_room(struct zs_pool *pool, unsigned int class, enum zs_urgency urgency, struct zs_handle handle,
		   bool *ret_fresh, struct zs_location *ret_location);
/*
 * Gives it back; under the class's lock. Zspages that get empty by it are put on a list of the caller's, for
 * zspages_destroy() without the lock.
 */
void pool_free_room(struct zs_pool *pool, struct zs_location location, struct zs_list *empty);
/* The same, and nothing else. */
void pool_give_back(struct zs_pool *pool, struct zs_location location, struct zs_list *empty);

/* Classes with few objects keep some, too: for tests, whose stores are small. Set before the first object. */
extern bool zs_kept_of_few;
/*
 * Kept objects. pool_take_kept() is pool_take_room() if the calling thread keeps one, pool_keep() is pool_free_room()
 * if it may keep one more; else they answer false. Without the class's lock; whatever is kept is not fresh.
 */
bool pool_take_kept(struct zs_pool *pool, unsigned int class, struct zs_location *ret_location);
bool pool_keep(struct zs_pool *pool, struct zs_location location);
/* An object was given back: lets the calling thread keep one more from now on, if it may. Under the class's lock. */
void pool_allow_kept(struct zs_pool *pool, unsigned int class);
/* Gives back what threads keep of a class. Under its lock. True if it was something. */
bool pool_drop_kept(struct zs_pool *pool, unsigned int class, struct zs_list *empty);
/* The same if the class has become too small for it. */
void pool_limit_kept(struct zs_pool *pool, unsigned int class, struct zs_list *empty);
/*
 * The same for all classes, without a lock, until page_budget pages are free. *ret_pages (may be NULL): how many pages
 * this has freed, which is more than that by what is kept of one class at most.
 */
bool pool_reclaim_kept(struct zs_pool *pool, uint64_t page_budget, uint64_t *ret_pages);
/* How many they are, or those of one zspage, unless that is NULL. Under the class's lock. */
uint32_t pool_count_kept(const struct zs_pool *pool, unsigned int class, const struct zspage *zspage);
/* Frees the tables. Context: no other thread uses the pool. */
void pool_forget_kept(struct zs_pool *pool);
/* Asserts what holds for them. Context: the same. */
void pool_check_kept(struct zs_pool *pool, unsigned int class);
/* The object that the calling thread is likely to get next, or NULL; a hint. */
const void *pool_next(const struct zs_pool *pool, unsigned int class);
/* True if the calling thread is likely to keep what it frees next; a hint, too. */
bool pool_will_keep(const struct zs_pool *pool, unsigned int class);

/* Frees the handle of an object that has no room and no place any more. */
void pool_free_handle(struct zs_heap *heap, uint32_t handle);
