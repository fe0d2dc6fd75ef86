#include "tests/fuzz/upper_tree.h"

#include "cache/store/image_writer.h"

#include <errno.h>
#include <sys/mman.h>

static int fill(struct image_writer *w)
{
	static const char *const files[] = { "a", "d/b", "d/c" };
	const struct item link = {
		.path = "l", .type = ENTRY_SYMLINK, .mode = 0777, .target = "a"
	};
	int r = image_writer_add(w, &link);
	for (size_t i = 0; r == 0 && i < sizeof(files) / sizeof(*files); i++) {
		const struct item file = { .path = files[i],
					   .type = ENTRY_FILE,
					   .mode = 0644 };
		r = image_writer_add_file(w, &file, files[i], 1, false);
	}
	return r;
}

int upper_tree_lower(struct upper_tree *t)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	struct digest id;
	uint64_t size = 0;
	*t = (struct upper_tree){ .fd = memfd_create("lower", MFD_CLOEXEC) };
	int r = t->fd < 0 ? -errno : image_writer_new(NULL, &w);
	if (r == 0)
		r = fill(w);
	if (r == 0)
		r = image_writer_write_to(w, t->fd, 0, &size, &id);
	if (r == 0)
		r = image_open(t->fd, 0, size, -1, &t->image, NULL);
	if (r < 0)
		return r;
	const struct tree_layer layer = { .number = 1,
					  .image = t->image,
					  .folder = true };
	const struct tree_options options = { .layers = &layer, .layer_count = 1 };
	return tree_new(&options, &t->tree, NULL);
}

int upper_tree_open(struct upper_tree *t, const char *path)
{
	const struct upper_options options = { .path = path, .owner = "a fuzzer" };
	int r = upper_open(&options, &t->upper, NULL);
	if (r < 0)
		return r;
	const struct overlay_options over = { .tree = t->tree, .upper = t->upper };
	return overlay_new(&over, &t->overlay);
}

void upper_tree_close(struct upper_tree *t)
{
	overlay_free(t->overlay);
	upper_close(t->upper);
	tree_free(t->tree);
	image_free(t->image);
	cleanup_close_fn(&t->fd);
}
