#include "fusefs/tree/links.h"

#include "fusefs/tree/directory.h"

#include <errno.h>
#include <stdlib.h>

/*
 * An image has its table of links by entry. Here the same is kept by first entry, so that
 * the size of a group can be counted without going through the table.
 */
struct links {
	size_t count;
	uint32_t firsts[]; /* sorted: one for each further link */
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int links_make(struct image *image, struct links **ret)
{
	cleanup_buffer struct buffer firsts = BUFFER_INIT;
	uint32_t first;
	int r = 0;
	for (uint32_t i = 0; r == 0; i++) {
		r = image_hard_link_row(image, i, &first);
		if (r == 0)
			r = buffer_append(&firsts, &first, sizeof(first));
	}
	struct links *links = r == -ENODATA ? malloc(sizeof(*links) + firsts.size) : NULL;
	if (!links)
		return r == -ENODATA ? -ENOMEM : r;
	links->count = firsts.size / sizeof(first);
	if (links->count > 0) {
		memcpy(links->firsts, firsts.data, firsts.size);
		qsort(links->firsts, links->count, sizeof(first), compare);
	}
	*ret = links;
	return 0;
}

static int links_of(struct tree *tree, size_t layer, const struct links **ret)
{
	struct links *known = atomic_load(&tree->links[layer]);
	cleanup_free struct links *made = NULL;
	if (!known) {
		int r = links_make(tree->layers[layer].image, &made);
		if (r < 0)
			return r;
		/* Another thread may have been faster: then ours goes. */
		if (atomic_compare_exchange_strong(&tree->links[layer], &known, made))
			known = steal_ptr(made);
	}
	*ret = known;
	return 0;
}

/* How many of them are lower than `first`. */
static size_t count_below(const struct links *links, uint64_t first)
{
	size_t low = 0;
	size_t high = links->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (links->firsts[middle] < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int links_find(struct tree *tree, size_t layer, uint32_t number, uint32_t *ret_first,
	       uint32_t *ret_count)
{
	const struct links *links;
	uint32_t first;
	int r = image_hard_link(tree->layers[layer].image, number, &first);
	if (r == -ENODATA)
		first = number;
	else if (r < 0)
		return r;
	r = links_of(tree, layer, &links);
	if (r < 0)
		return r;
	*ret_first = first;
	*ret_count = 1 + (uint32_t)(count_below(links, (uint64_t)first + 1) -
				    count_below(links, first));
	return 0;
}
