#include "fusefs/overlay/counts.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * A shard is a table with open addressing in one of two arenas. It grows by being made
 * anew in the other arena, and one store of `state` makes that one count. What is removed
 * is marked as gone and swept out then.
 */
enum {
	FIRST_BITS = 8,
	STATE_ARENA = 1 << 8,
	STATE_BITS = 0xff,
	NOTES_AT = 4096, /* states come before */
};

static uint64_t hash_of(uint64_t node)
{
	return node * UINT64_C(0x9e3779b97f4a7c15);
}

static struct count_shard *shard_of(struct counts *c, uint64_t node)
{
	return &c->shards[hash_of(node) >> 60];
}

static size_t room_of(uint64_t state)
{
	return state == 0 ? 0 : (size_t)1 << (state & STATE_BITS);
}

static struct count *table_of(const struct count_shard *s, uint64_t state)
{
	return s->arenas[(state & STATE_ARENA) != 0];
}

/* Where the node stands, or the first free place on its way; the table has one. */
static struct count *place_of(const struct count_shard *s, uint64_t state, uint64_t node)
{
	struct count *table = table_of(s, state);
	size_t mask = room_of(state) - 1;
	size_t i = (size_t)(hash_of(node) >> 20) & mask;
	uint64_t found;
	while ((found = atomic_load_explicit(&table[i].node, memory_order_relaxed)) !=
		   0 &&
	       found != node)
		i = (i + 1) & mask;
	return &table[i];
}

static void take_stock(struct count_shard *s)
{
	uint64_t state = atomic_load(s->state);
	const struct count *table = table_of(s, state);
	for (size_t i = 0; i < room_of(state); i++) {
		uint64_t node = atomic_load(&table[i].node);
		s->used += node != 0;
		s->live += node != 0 && node != COUNT_GONE;
	}
}

static struct count *find(const struct count_shard *s, uint64_t node)
{
	uint64_t state = atomic_load(s->state);
	if (room_of(state) == 0)
		return NULL;
	struct count *at = place_of(s, state, node);
	return atomic_load(&at->node) == node ? at : NULL;
}

/* `left` is 0: it goes. */
static void apply(struct count_shard *s, struct count *at, uint64_t left)
{
	if (!at)
		return;
	if (left > 0) {
		atomic_store_explicit(&at->count, left, memory_order_release);
		return;
	}
	atomic_store_explicit(&at->node, COUNT_GONE, memory_order_release);
	s->live--;
}

static _Atomic(uint32_t) *done_of(const struct counts *c, int64_t offset)
{
	return (_Atomic(uint32_t) *)((intptr_t)c->memory + (intptr_t)offset);
}

/* Once applied it was done, and only then it is no more under way. */
static void end_note(const struct counts *c, struct count_note *n)
{
	atomic_store_explicit(done_of(c, atomic_load(&n->done)),
			      atomic_load(&n->entry) + 1, memory_order_release);
	atomic_store_explicit(&n->begun, 0, memory_order_release);
}

/* What a server was about when it was killed: applied anew, as it sets a value. */
static void finish(const struct counts *c, struct count_shard *s)
{
	struct count_note *n = s->note;
	if (!atomic_load(&n->begun))
		return;
	apply(s, find(s, atomic_load(&n->node)), atomic_load(&n->left));
	end_note(c, n);
}

int counts_init(struct counts *c, void *memory)
{
	c->own = !memory;
	c->memory = memory ? memory
			   : mmap(NULL, COUNTS_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->memory == MAP_FAILED)
		return -ENOMEM;
	uint8_t *at = c->memory;
	for (size_t i = 0; i < COUNT_SHARDS; i++) {
		struct count_shard *s = &c->shards[i];
		uint8_t *arena = at + COUNT_HEAD + 2 * i * COUNT_ARENA;
		*s = (struct count_shard){
			.state = (_Atomic(uint64_t) *)(void *)at + i,
			.note = (struct count_note *)(void *)(at + NOTES_AT) + i,
			.arenas = { (struct count *)(void *)arena,
				    (struct count *)(void *)(arena + COUNT_ARENA) },
		};
		(void)pthread_mutex_init(&s->lock, NULL);
		take_stock(s);
		finish(c, s);
	}
	return 0;
}

void counts_release(struct counts *c)
{
	for (size_t i = 0; i < COUNT_SHARDS; i++)
		(void)pthread_mutex_destroy(&c->shards[i].lock);
	if (c->own)
		(void)munmap(c->memory, COUNTS_SIZE);
}

static void put(const struct count_shard *s, uint64_t state, uint64_t node,
		uint64_t count)
{
	struct count *at = place_of(s, state, node);
	atomic_store_explicit(&at->count, count, memory_order_relaxed);
	atomic_store_explicit(&at->node, node, memory_order_release);
}

/* Room for twice what lives, in the other arena, which is emptied first. */
static int grow(struct count_shard *s)
{
	uint64_t old = atomic_load(s->state);
	uint64_t bits = FIRST_BITS;
	while (((size_t)1 << bits) < 2 * (s->live + 1))
		bits++;
	if (((size_t)sizeof(struct count) << bits) > COUNT_ARENA)
		return -ENOMEM;
	uint64_t state = bits | (old & STATE_ARENA ? 0 : STATE_ARENA);
	if (madvise(table_of(s, state), COUNT_ARENA, MADV_REMOVE) < 0)
		return -errno;
	const struct count *table = table_of(s, old);
	for (size_t i = 0; i < room_of(old); i++) {
		uint64_t node = atomic_load(&table[i].node);
		if (node != 0 && node != COUNT_GONE)
			put(s, state, node, atomic_load(&table[i].count));
	}
	atomic_store_explicit(s->state, state, memory_order_release);
	s->used = s->live;
	(void)madvise(table_of(s, old), COUNT_ARENA, MADV_REMOVE);
	return 0;
}

int counts_add(struct counts *c, uint64_t node)
{
	struct count_shard *s = shard_of(c, node);
	int r = 0;
	(void)pthread_mutex_lock(&s->lock);
	struct count *at = find(s, node);
	if (at) {
		(void)atomic_fetch_add(&at->count, 1);
	} else {
		if (4 * (s->used + 1) > 3 * room_of(atomic_load(s->state)))
			r = grow(s);
		if (r == 0) {
			put(s, atomic_load(s->state), node, 1);
			s->used++;
			s->live++;
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* A server that is killed from the last of these stores on has done it. */
static void begin_note(const struct counts *c, struct count_note *n,
		       const struct count_once *once)
{
	atomic_store(&n->done, (int64_t)((intptr_t)once->done - (intptr_t)c->memory));
	atomic_store(&n->entry, once->entry);
	atomic_store_explicit(&n->begun, 1, memory_order_release);
}

static bool sub_locked(const struct counts *c, struct count_shard *s, uint64_t node,
		       uint64_t count, const struct count_once *once)
{
	struct count *at = find(s, node);
	uint64_t has = at ? atomic_load(&at->count) : 0;
	uint64_t left = (has & ~COUNT_ORPHAN) > count ? has - count : 0;
	if (once) {
		atomic_store(&s->note->node, node);
		atomic_store(&s->note->left, left);
		begin_note(c, s->note, once);
	}
	apply(s, at, left);
	if (once)
		end_note(c, s->note);
	return left == 0 && (has & COUNT_ORPHAN) != 0;
}

bool counts_sub(struct counts *c, uint64_t node, uint64_t count,
		const struct count_once *once)
{
	struct count_shard *s = shard_of(c, node);
	bool orphaned = false;
	(void)pthread_mutex_lock(&s->lock);
	if (!once || once->entry >= atomic_load(once->done))
		orphaned = sub_locked(c, s, node, count, once);
	(void)pthread_mutex_unlock(&s->lock);
	return orphaned;
}

bool counts_set_orphan(struct counts *c, uint64_t node, bool orphan)
{
	struct count_shard *s = shard_of(c, node);
	(void)pthread_mutex_lock(&s->lock);
	struct count *at = find(s, node);
	if (at && orphan)
		(void)atomic_fetch_or(&at->count, COUNT_ORPHAN);
	else if (at)
		(void)atomic_fetch_and(&at->count, ~COUNT_ORPHAN);
	(void)pthread_mutex_unlock(&s->lock);
	return at == NULL;
}
