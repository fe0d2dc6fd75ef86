#include "fusefs/upper/recent.h"

#include "cache/base/digest.h"

#include <string.h>

static size_t slot_of(uint64_t id)
{
	return (id ^ id >> 32) % RECENT_NODES;
}

static uint64_t key_of(uint64_t parent, const char *name, size_t name_size)
{
	const struct digest digest = digest_of(name, name_size);
	uint64_t key;
	memcpy(&key, digest.bytes, sizeof(key));
	return key ^ parent * UINT64_C(0xff51afd7ed558ccd);
}

void recent_start(struct recent *r, uint64_t from, bool all)
{
	recent_undo(r);
	r->from = from;
	r->all = all;
}

const struct upper_node *recent_find(const struct recent *r, uint64_t id)
{
	const struct upper_node *node = &r->nodes[slot_of(id)];
	return node->id == id ? node : NULL;
}

void recent_keep(struct recent *r, const struct upper_node *node)
{
	r->nodes[slot_of(node->id)] = *node;
}

void recent_drop(struct recent *r, uint64_t id)
{
	struct upper_node *node = &r->nodes[slot_of(id)];
	if (node->id == id)
		node->id = 0;
}

void recent_undo(struct recent *r)
{
	memset(r->nodes, 0, sizeof(r->nodes));
}

void recent_add_name(struct recent *r, uint64_t parent, const char *name,
		     size_t name_size)
{
	filter_add(&r->names, key_of(parent, name, name_size));
}

bool recent_may_have_name(struct recent *r, uint64_t parent, const char *name,
			  size_t name_size)
{
	bool is_known = (parent & NODE_UPPER) ? parent >= r->from : r->all;
	return !is_known || filter_may_have(&r->names, key_of(parent, name, name_size));
}
