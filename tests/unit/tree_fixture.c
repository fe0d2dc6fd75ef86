#include "tests/unit/tree_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 4096 };

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	*state = f;
	f->fd = memfd_create("images", MFD_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;
	tree_free(f->tree);
	for (size_t i = 0; i < f->count; i++)
		image_free(f->images[i]);
	(void)close(f->fd);
	free(f);
	return 0;
}

/* A file "path" or "path=content"; a directory ends with '/'. */
static void add_item(struct image_writer *w, const char *text)
{
	cleanup_free char *path = strdup(text);
	char *content = strchr(path, '=');
	size_t size = strlen(path);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	if (path[size - 1] == '/') {
		path[size - 1] = '\0';
		item.type = ENTRY_DIRECTORY;
		item.mode = 0755;
	}
	item.opaque = path[0] == '!';
	item.path += item.opaque;
	if (content)
		*content++ = '\0';
	if (content && strcmp(content, "ABSENT") == 0)
		item.type = ENTRY_ABSENT;
	if (item.type != ENTRY_FILE) {
		assert_int_equal(image_writer_add(w, &item), 0);
		return;
	}
	content = content ? content : path;
	assert_int_equal(image_writer_add_file(w, &item, content, strlen(content), false),
			 0);
}

void add_image(struct fixture *f, uint32_t number, struct image_writer *w)
{
	struct digest id;
	uint64_t size;
	assert_int_equal(image_writer_write_to(w, f->fd, f->end, &size, &id), 0);
	struct image **image = &f->images[f->count];
	assert_int_equal(image_open(f->fd, f->end, size, -1, image, NULL), 0);
	f->end = (f->end + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	f->layers[f->count++] = (struct tree_layer){ .number = number, .image = *image };
}

void add_layer(struct fixture *f, uint32_t number, const char *const items[])
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	assert_int_equal(image_writer_new(NULL, &w), 0);
	for (; *items; items++)
		add_item(w, *items);
	add_image(f, number, w);
}

int unite(struct fixture *f)
{
	static const struct tree_graft grafts[] = { { "root", "" },
						    { "site", "lib/site" } };
	const struct tree_options options = { .layers = f->layers,
					      .layer_count = f->count,
					      .grafts = grafts,
					      .graft_count = 2,
					      .directory_mtime = 77 };
	tree_free(f->tree);
	f->tree = NULL;
	return tree_new(&options, &f->tree, NULL);
}

int unite_folders(struct fixture *f, bool keep_owner)
{
	const struct tree_options options = { .layers = f->layers,
					      .layer_count = f->count,
					      .directory_mtime = 77,
					      .uid = 7,
					      .gid = 8,
					      .keep_owner = keep_owner };
	tree_free(f->tree);
	f->tree = NULL;
	return tree_new(&options, &f->tree, NULL);
}

int find(struct fixture *f, const char *path, struct node *ret)
{
	ret->id = TREE_ROOT;
	int r = 0;
	while (r == 0 && *path) {
		size_t size = strcspn(path, "/");
		r = tree_lookup(f->tree, ret->id, path, size, ret);
		path += size + (path[size] == '/');
	}
	return r;
}

void assert_content(struct fixture *f, const char *path, const char *expected)
{
	struct node node;
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	assert_int_equal(find(f, path, &node), 0);
	assert_int_equal(image_read_file(node.image, &node.entry, 100, &bytes), 0);
	assert_string_equal(buffer_cstr(&bytes), expected);
}

int append_name(void *context, const struct node *child, uint64_t cookie)
{
	(void)cookie;
	return buffer_printf(context, "%.*s ", child->entry.name_size, child->entry.name);
}

void assert_listing(struct fixture *f, const char *path, const char *expected)
{
	struct node node;
	cleanup_buffer struct buffer names = BUFFER_INIT;
	assert_int_equal(find(f, path, &node), 0);
	assert_int_equal(tree_list(f->tree, node.id, 0, append_name, &names), 0);
	assert_string_equal(buffer_cstr(&names), expected);
}
