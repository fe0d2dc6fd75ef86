/*
 * Which lower nodes may have rows: a set that may say yes wrongly and never no, so that
 * what nobody changed costs no query. Private to fusefs/upper. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FILTER_WORDS = 1 << 14 }; /* 128 KiB: one in a hundred wrong at 10,000 */

struct filter {
	_Atomic(uint64_t) words[FILTER_WORDS];
};

static inline uint64_t filter_hash(uint64_t id)
{
	return (id * UINT64_C(0x9e3779b97f4a7c15)) >> 44; /* 20 bits */
}

static inline void filter_add(struct filter *f, uint64_t id)
{
	uint64_t bit = filter_hash(id);
	atomic_fetch_or_explicit(&f->words[bit / 64], UINT64_C(1) << (bit % 64),
				 memory_order_release);
}

static inline bool filter_may_have(struct filter *f, uint64_t id)
{
	uint64_t bit = filter_hash(id);
	return atomic_load_explicit(&f->words[bit / 64], memory_order_acquire) >>
		   (bit % 64) &
	       1;
}
