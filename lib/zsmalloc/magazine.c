/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Magazines: the free objects of a slab cache that one thread has at hand.
 *
 * A thread has MAGAZINES of them, and a cache uses the one that its number says; two caches with the same one (there
 * are more than two heaps in the process then) take turns. A magazine is on its cache's list from its first use on, so
 * that the cache can count what lies in it, and take it back when it is destroyed first.
 *
 * What guards what: the objects belong to the thread alone. Which cache a magazine serves is changed by its thread, and
 * by zs_slab_forget_magazines() of a cache that no thread uses any more; both hold `registry`, which is taken before a
 * cache's lock and only where a magazine comes or goes.
 */

#include "zsmalloc/slab.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"

#define MAGAZINES 4

struct magazine {
	_Atomic(struct zs_slab *) slab; /* NULL: unused; see above */
	struct zs_list link;		/* slab->magazines; guarded by slab->lock */
	_Atomic unsigned int nr;	/* written by its thread, read by zs_slab_count_magazines() */
	uint32_t indexes[ZS_MAGAZINE_OBJECTS];
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* its destructor runs when a thread with magazines ends */
static _Thread_local struct magazine magazines[MAGAZINES];

/* Takes the magazine from its cache and gives its objects back. Under registry. */
static void release(struct magazine *magazine)
{
	struct zs_slab *slab = atomic_load_explicit(&magazine->slab, memory_order_relaxed);
	unsigned int nr;

	if (!slab)
		return;
	nr = atomic_load_explicit(&magazine->nr, memory_order_relaxed);
	/* First this: what is in the cache and still counted here, too, would make less than none be in use. */
	atomic_store_explicit(&magazine->nr, 0, memory_order_relaxed);
	zs_slab_put(slab, magazine->indexes, nr);
	zs_lock(&slab->lock);
	zs_list_unlink(&magazine->link);
	zs_unlock(&slab->lock);
	atomic_store_explicit(&magazine->slab, NULL, memory_order_relaxed);
}

static void release_all(void *argument)
{
	struct magazine *own = argument;

	pthread_mutex_lock(&registry);
	for (unsigned int i = 0; i < MAGAZINES; i++)
		release(&own[i]);
	pthread_mutex_unlock(&registry);
}

static void make_key(void)
{
	zs_assert(!pthread_key_create(&key, release_all));
}

/* Makes the magazine serve this cache. */
static void adopt(struct magazine *magazine, struct zs_slab *slab)
{
	pthread_once(&key_once, make_key);
	pthread_setspecific(key, magazines);
	pthread_mutex_lock(&registry);
	release(magazine);
	atomic_store_explicit(&magazine->slab, slab, memory_order_relaxed);
	zs_lock(&slab->lock);
	zs_list_push(&slab->magazines, &magazine->link);
	zs_unlock(&slab->lock);
	pthread_mutex_unlock(&registry);
}

static struct magazine *magazine_of(struct zs_slab *slab)
{
	struct magazine *magazine = &magazines[slab->number % MAGAZINES];

	if (__builtin_expect(atomic_load_explicit(&magazine->slab, memory_order_relaxed) != slab, 0))
		adopt(magazine, slab);
	return magazine;
}

static void set_nr(struct magazine *magazine, unsigned int nr)
{
	atomic_store_explicit(&magazine->nr, nr, memory_order_relaxed);
}

int zs_slab_alloc(struct zs_slab *slab, enum zs_urgency urgency, uint32_t *ret_index)
{
	struct magazine *magazine = magazine_of(slab);
	unsigned int nr = atomic_load_explicit(&magazine->nr, memory_order_relaxed);
	int error;

	if (!nr) {
		error = zs_slab_take(slab, urgency, magazine->indexes, ZS_MAGAZINE_OBJECTS / 2, &nr);
		if (error)
			return error;
	}
	*ret_index = magazine->indexes[--nr];
	set_nr(magazine, nr);
	return 0;
}

void zs_slab_free(struct zs_slab *slab, uint32_t index)
{
	struct magazine *magazine = magazine_of(slab);
	unsigned int nr = atomic_load_explicit(&magazine->nr, memory_order_relaxed);
	unsigned int half = ZS_MAGAZINE_OBJECTS / 2;

	if (nr == ZS_MAGAZINE_OBJECTS) {
		/* The oldest go: the youngest are in the cache. The number first, as in release(). */
		set_nr(magazine, nr - half);
		zs_slab_put(slab, magazine->indexes, half);
		memmove(magazine->indexes, magazine->indexes + half, (nr - half) * sizeof(magazine->indexes[0]));
		nr -= half;
	}
	magazine->indexes[nr] = index;
	set_nr(magazine, nr + 1);
}

void zs_slab_flush(struct zs_slab *slab)
{
	struct magazine *magazine = &magazines[slab->number % MAGAZINES];

	pthread_mutex_lock(&registry);
	if (atomic_load_explicit(&magazine->slab, memory_order_relaxed) == slab)
		release(magazine);
	pthread_mutex_unlock(&registry);
}

void zs_slab_forget_magazines(struct zs_slab *slab)
{
	pthread_mutex_lock(&registry);
	zs_lock(&slab->lock);
	while (!zs_list_empty(&slab->magazines)) {
		struct magazine *magazine = zs_list_entry(slab->magazines.next, struct magazine, link);

		zs_list_unlink(&magazine->link);
		set_nr(magazine, 0);
		atomic_store_explicit(&magazine->slab, NULL, memory_order_relaxed);
	}
	zs_unlock(&slab->lock);
	pthread_mutex_unlock(&registry);
}

uint64_t zs_slab_count_magazines(const struct zs_slab *slab)
{
	uint64_t count = 0;

	zs_list_for_each (link, &slab->magazines)
		count += atomic_load_explicit(&zs_list_entry(link, struct magazine, link)->nr, memory_order_relaxed);
	return count;
}
