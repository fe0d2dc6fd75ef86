#include "cache/store/image_build.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t *find_slot(struct image_build *b, const char *path, size_t size)
{
	uint32_t mask = b->index_size - 1;
	for (uint32_t i = (uint32_t)digest_sum64(path, size) & mask;;
	     i = (i + 1) & mask) {
		uint32_t node = b->index[i];
		if (node == 0)
			return &b->index[i];
		const struct node *n = &b->nodes[node - 1];
		if (strncmp(n->path, path, size) == 0 && n->path[size] == '\0')
			return &b->index[i];
	}
}

static int grow_index(struct image_build *b)
{
	uint32_t size = b->index_size ? b->index_size * 2 : 256;
	uint32_t *index = calloc(size, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(b->index);
	b->index = index;
	b->index_size = size;
	for (uint32_t i = 0; i < b->count; i++)
		*find_slot(b, b->nodes[i].path, strlen(b->nodes[i].path)) = i + 1;
	return 0;
}

static int add_node(struct image_build *b, const char *path, size_t size, uint32_t parent,
		    uint32_t *ret_node)
{
	if (b->count == b->room) {
		uint32_t room = b->room ? b->room * 2 : 64;
		struct node *nodes = room > UINT32_MAX / 4
					 ? NULL
					 : reallocarray(b->nodes, room, sizeof(*nodes));
		if (!nodes)
			return -ENOMEM;
		b->nodes = nodes;
		b->room = room;
	}
	if (b->count * 2 >= b->index_size) {
		int r = grow_index(b);
		if (r < 0)
			return r;
	}
	char *copy = strndup(path, size);
	if (!copy)
		return -ENOMEM;
	const char *slash = strrchr(copy, '/');
	uint32_t name_at = slash ? (uint32_t)(slash + 1 - copy) : 0;
	b->nodes[b->count] = (struct node){
		.path = copy,
		.name_at = name_at,
		.name_size = (uint32_t)size - name_at,
		.parent = parent,
		.type = ENTRY_DIRECTORY,
		.mode = 0755,
		.mtime = IMAGE_EPOCH,
	};
	*find_slot(b, path, size) = b->count + 1;
	*ret_node = b->count++;
	return 0;
}

int image_build_init(struct image_build *b)
{
	*b = (struct image_build){ .spool = SPOOL_INIT };
	uint32_t root;
	return add_node(b, "", 0, 0, &root);
}

void image_build_release(struct image_build *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		free(b->nodes[i].path);
	free(b->nodes);
	free(b->index);
	buffer_release(&b->targets);
	buffer_release(&b->sums);
	buffer_release(&b->xattrs);
	buffer_release(&b->xattr_bytes);
	buffer_release(&b->record);
	buffer_release(&b->info);
	spool_release(&b->spool);
}

/* The next component of a path, checked: its size, or 0 for one that may not be. */
static size_t component_size(const char *path)
{
	size_t size = strcspn(path, "/");
	if (size > FORMAT_LONGEST_NAME || (size == 1 && path[0] == '.') ||
	    (size == 2 && path[0] == '.' && path[1] == '.'))
		return 0;
	return size;
}

/* The node of a path, made as a directory together with its parents where missing. */
int image_build_node(struct image_build *b, const char *path, uint32_t *ret_node,
		     bool *ret_existed)
{
	uint32_t node = 0;
	bool existed = true;
	unsigned depth = 0;
	for (const char *p = path; *p;) {
		size_t size = component_size(p);
		if (size == 0 || ++depth >= FORMAT_DEEPEST)
			return -EINVAL;
		if (b->nodes[node].type != ENTRY_DIRECTORY)
			return -ENOTDIR;
		size_t whole = (size_t)(p - path) + size;
		uint32_t found = *find_slot(b, path, whole);
		existed = found != 0;
		if (existed) {
			node = found - 1;
		} else {
			int r = add_node(b, path, whole, node, &node);
			if (r < 0)
				return r;
		}
		p += size;
		if (*p == '/' && *++p == '\0')
			return -EINVAL;
	}
	*ret_node = node;
	*ret_existed = existed;
	return 0;
}

int image_build_find(struct image_build *b, const char *path, uint32_t *ret_node)
{
	uint32_t found = *find_slot(b, path, strlen(path));
	if (found == 0)
		return -ENOENT;
	*ret_node = found - 1;
	return 0;
}
