#include "fusefs/overlay/counts.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64 };

static uint64_t hash_of(uint64_t node)
{
	return node * UINT64_C(0x9e3779b97f4a7c15);
}

static struct count_shard *shard_of(struct counts *c, uint64_t node)
{
	return &c->shards[hash_of(node) >> 60];
}

void counts_init(struct counts *c)
{
	for (size_t i = 0; i < COUNT_SHARDS; i++) {
		c->shards[i] = (struct count_shard){ .table = NULL };
		(void)pthread_mutex_init(&c->shards[i].lock, NULL);
	}
}

void counts_release(struct counts *c)
{
	for (size_t i = 0; i < COUNT_SHARDS; i++) {
		free(c->shards[i].table);
		(void)pthread_mutex_destroy(&c->shards[i].lock);
	}
}

/* Where the node stands, or the free place where it would; the table has one. */
static struct count *place_of(const struct count_shard *s, uint64_t node)
{
	size_t i = (size_t)(hash_of(node) >> 20) & (s->room - 1);
	while (s->table[i].node != 0 && s->table[i].node != node)
		i = (i + 1) & (s->room - 1);
	return &s->table[i];
}

static int grow(struct count_shard *s)
{
	struct count_shard bigger = { .room = s->room ? 2 * s->room : FIRST_ROOM,
				      .used = s->used };
	bigger.table = calloc(bigger.room, sizeof(*bigger.table));
	if (!bigger.table)
		return -ENOMEM;
	for (size_t i = 0; i < s->room; i++) {
		if (s->table[i].node != 0)
			*place_of(&bigger, s->table[i].node) = s->table[i];
	}
	free(s->table);
	s->table = bigger.table;
	s->room = bigger.room;
	return 0;
}

static struct count *find(const struct count_shard *s, uint64_t node)
{
	struct count *c = s->room ? place_of(s, node) : NULL;
	return c && c->node == node ? c : NULL;
}

/* Closes the gap: those behind it that would not be found any more move up. */
static void remove_at(struct count_shard *s, struct count *gone)
{
	size_t hole = (size_t)(gone - s->table);
	size_t i = hole;
	s->table[hole].node = 0;
	s->used--;
	for (;;) {
		i = (i + 1) & (s->room - 1);
		if (s->table[i].node == 0)
			return;
		size_t home = (size_t)(hash_of(s->table[i].node) >> 20) & (s->room - 1);
		if (((i - home) & (s->room - 1)) >= ((i - hole) & (s->room - 1))) {
			s->table[hole] = s->table[i];
			s->table[i].node = 0;
			hole = i;
		}
	}
}

int counts_add(struct counts *c, uint64_t node)
{
	struct count_shard *s = shard_of(c, node);
	(void)pthread_mutex_lock(&s->lock);
	int r = 4 * (s->used + 1) > 3 * s->room ? grow(s) : 0;
	if (r == 0) {
		struct count *at = place_of(s, node);
		s->used += at->node == 0;
		at->count = at->node == 0 ? 1 : at->count + 1;
		at->node = node;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

bool counts_sub(struct counts *c, uint64_t node, uint64_t count)
{
	struct count_shard *s = shard_of(c, node);
	bool orphaned = false;
	(void)pthread_mutex_lock(&s->lock);
	struct count *at = find(s, node);
	if (at && (at->count & ~COUNT_ORPHAN) > count) {
		at->count -= count;
	} else if (at) {
		orphaned = (at->count & COUNT_ORPHAN) != 0;
		remove_at(s, at);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return orphaned;
}

bool counts_set_orphan(struct counts *c, uint64_t node, bool orphan)
{
	struct count_shard *s = shard_of(c, node);
	(void)pthread_mutex_lock(&s->lock);
	struct count *at = find(s, node);
	if (at)
		at->count = orphan ? at->count | COUNT_ORPHAN : at->count & ~COUNT_ORPHAN;
	(void)pthread_mutex_unlock(&s->lock);
	return at == NULL;
}
