#include "fusefs/overlay/rebase_private.h"

#include <errno.h>
#include <stdlib.h>

/* Open addressing, half full at most; search.h has a struct entry of its own. */
struct rebase_slot {
	uint64_t id; /* 0: free; no node has that id */
	size_t place;
	enum rebase_key kind;
};

static struct rebase_slot *find_slot(const struct rebase *r, enum rebase_key kind,
				     uint64_t id)
{
	size_t mask = r->slot_room - 1;
	size_t at = (size_t)((id + kind) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;
	while (r->slots[at].id != 0 &&
	       (r->slots[at].id != id || r->slots[at].kind != kind))
		at = (at + 1) & mask;
	return &r->slots[at];
}

size_t rebase_find_key(const struct rebase *r, enum rebase_key key, uint64_t id)
{
	const struct rebase_slot *slot = r->slot_room ? find_slot(r, key, id) : NULL;
	return slot && slot->id != 0 ? slot->place : SIZE_MAX;
}

static int grow(struct rebase *r)
{
	struct rebase_slot *before = r->slots;
	size_t room = r->slot_room;
	size_t more = room ? 2 * room : 256;
	struct rebase_slot *grown = calloc(more, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->slots = grown;
	r->slot_room = more;
	for (size_t i = 0; i < room; i++) {
		if (before[i].id != 0)
			*find_slot(r, before[i].kind, before[i].id) = before[i];
	}
	free(before);
	return 0;
}

int rebase_put_key(struct rebase *r, enum rebase_key key, uint64_t id, size_t place)
{
	int code = 2 * r->slot_count >= r->slot_room ? grow(r) : 0;
	if (code < 0)
		return code;
	struct rebase_slot *slot = find_slot(r, key, id);
	if (slot->id != 0 || id == 0)
		return -EBADMSG;
	*slot = (struct rebase_slot){ .id = id, .place = place, .kind = key };
	r->slot_count++;
	return 0;
}

int rebase_add_node(struct rebase *r, struct rebase_node *take_node, size_t *ret)
{
	struct rebase_nodes *nodes = &r->nodes;
	if (nodes->count == nodes->room) {
		size_t room = nodes->room ? 2 * nodes->room : 64;
		struct rebase_node *grown =
		    reallocarray(nodes->items, room, sizeof(*grown));
		if (!grown) {
			free(take_node->target);
			return -ENOMEM;
		}
		nodes->items = grown;
		nodes->room = room;
	}
	*ret = nodes->count;
	nodes->items[nodes->count++] = *take_node;
	return rebase_put_key(r, KEY_ID, take_node->row.id, *ret);
}
