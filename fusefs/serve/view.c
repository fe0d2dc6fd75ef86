#include "fusefs/serve/view.h"

#include "cache/base/file.h"
#include "fusefs/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct view {
	const struct plan *plan;
	int pack_fd;
	struct image_pack *pack; /* NULL: no layer is in one */
	struct image **images;   /* one for each layer of the plan */
	struct tree *tree;
};

void view_free(struct view *view)
{
	if (!view)
		return;
	tree_free(view->tree);
	for (size_t i = 0; view->images && i < view->plan->count; i++) {
		if (!view->plan->layers[i].open)
			image_free(view->images[i]);
	}
	free(view->images);
	image_pack_free(view->pack);
	cleanup_close_fn(&view->pack_fd);
	free(view);
}

struct tree *view_tree(struct view *view)
{
	return view->tree;
}

static int open_layer(struct view *view, size_t i, struct cache *cache,
		      struct error *reterr)
{
	const struct plan_layer *layer = &view->plan->layers[i];
	view->images[i] = layer->open;
	if (layer->open)
		return 0;
	int r = layer->packed
		    ? image_open_packed(view->pack, layer->offset, layer->size,
					&view->images[i], reterr)
		    : cache_open_image(cache, &layer->image, &view->images[i], reterr);
	if (r == -ENOENT)
		return error_set(reterr, r, "%s is not in the cache any more",
				 layer->name);
	if (r < 0)
		return error_prefix(reterr, r, "%s", layer->name);
	struct digest found = image_id(view->images[i]);
	return digest_equal(&found, &layer->image)
		   ? 0
		   : error_set(reterr, -EBADMSG, "%s is another image than it was",
			       layer->name);
}

static int open_layers(struct view *view, struct cache *cache, struct error *reterr)
{
	view->images = calloc(view->plan->count + 1, sizeof(struct image *));
	if (!view->images)
		return -ENOMEM;
	int r = plan_has_pack(view->plan)
		    ? image_pack_open(view->pack_fd, &view->pack, reterr)
		    : 0;
	if (r < 0)
		return error_prefix(reterr, r, "the skeleton");
	for (size_t i = 0; r == 0 && i < view->plan->count; i++)
		r = open_layer(view, i, cache, reterr);
	return r;
}

/*
 * The grafts are cache/env's layout of images (environment.h); that of headers is there
 * only when a wheel has any, since the skeleton makes its directory only then. Folders
 * know no grafts, and where there are only folders there is none.
 */
static int make_tree(struct view *view, struct error *reterr)
{
	const struct plan *plan = view->plan;
	const struct tree_graft grafts[] = { { "root", "" },
					     { "site-packages", plan->site_packages },
					     { "include", plan->include } };
	size_t graft_count = plan_has_pack(plan) ? 2 : 0;
	cleanup_free struct tree_layer *layers = calloc(plan->count + 1, sizeof(*layers));
	if (!layers)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		struct entry ignored;
		layers[i] = (struct tree_layer){ .number = plan->layers[i].number,
						 .image = view->images[i],
						 .quiet = plan->layers[i].packed ||
							  plan->layers[i].folder,
						 .folder = plan->layers[i].folder };
		if (!plan->layers[i].folder && graft_count == 2 &&
		    image_resolve(view->images[i], "include", &ignored) == 0)
			graft_count = 3;
	}
	const struct tree_options options = {
		.layers = layers,
		.layer_count = plan->count,
		.grafts = grafts,
		.graft_count = graft_count,
		.directory_mtime = plan->changed,
		.uid = geteuid(),
		.gid = getegid(),
		.keep_owner = plan->keep_owner,
	};
	return tree_new(&options, &view->tree, reterr);
}

int view_open_pack(int take_pack_fd, const struct plan *plan, struct cache *cache,
		   struct view **ret, struct error *reterr)
{
	cleanup_fd int pack_fd = take_pack_fd;
	CLEANUP(view_freep) struct view *view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	view->plan = plan;
	view->pack_fd = steal_fd(&pack_fd);
	int r = open_layers(view, cache, reterr);
	if (r == 0)
		r = make_tree(view, reterr);
	if (r < 0)
		return r;
	*ret = steal_ptr(view);
	return 0;
}

int view_open(int state_fd, const struct plan *plan, struct cache *cache,
	      struct view **ret, struct error *reterr)
{
	int fd = -1;
	if (plan_has_pack(plan)) {
		fd = file_open_beneath(state_fd, plan_pack(plan), O_RDONLY, 0);
		if (fd < 0)
			return error_errno(reterr, fd, "cannot open the skeleton");
	}
	return view_open_pack(fd, plan, cache, ret, reterr);
}
