#include "cache/env/environment.h"

#include "cache/base/bytes.h"
#include "cache/env/skeleton.h"
#include "cache/env/tags.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images in a pack start at a multiple of this, so that each can be mapped. */
enum { PACK_ALIGNMENT = 4096 };

struct digest environment_key(const struct environment_request *request)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "venvfs %s\n%s\n%s\n", VENVFS_VERSION,
			      request->mount_path, request->interpreter->facts);
	for (size_t i = 0; r == 0 && i < request->count; i++) {
		const struct environment_wheel *wheel = &request->wheels[i];
		r = buffer_append(&text, &wheel->image_id, sizeof(wheel->image_id));
		if (r == 0)
			r = buffer_printf(&text, "%s\n%s\n%s\n%s\n",
					  wheel->direct_url ? wheel->direct_url : "",
					  wheel->uv_cache ? wheel->uv_cache : "",
					  wheel->uv_build ? wheel->uv_build : "",
					  wheel->installer ? wheel->installer : "");
	}
	/* Without memory: a key that no other request has, so nothing is taken for the
	 * same. */
	return r < 0 ? (struct digest){ .bytes = { 0 } }
		     : digest_of(text.data, text.size);
}

void environment_release(struct environment *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->layers[i].name);
	free(e->layers);
	*e = (struct environment){ .layers = NULL };
}

static int copy_info(struct image *image, enum info_key key, char *ret_text, size_t room)
{
	struct info info;
	int r = image_info(image, key, &info);
	if (r < 0)
		return r;
	(void)snprintf(ret_text, room, "%.*s",
		       (int)(info.size < room ? info.size : room - 1), info.value);
	return 0;
}

static int check_fits(const struct interpreter *p, struct image *image, const char *name,
		      struct error *reterr)
{
	uint32_t cursor = 0;
	struct info info;
	char tag[256] = "";
	while (image_info_next(image, &cursor, &info) > 0) {
		if (info.key != INFO_TAG || info.size >= sizeof(tag))
			continue;
		memcpy(tag, info.value, info.size);
		tag[info.size] = '\0';
		if (tag_fits(p, tag))
			return 0;
	}
	return error_set(
	    reterr, -EINVAL,
	    "%s is built for %s, which %s %s on %s (%s) cannot use; take a wheel for "
	    "it, or name another --python",
	    name, tag[0] ? tag : "something else", p->implementation, p->version,
	    p->machine, p->executable);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two wheels of one distribution would each overwrite a part of the other. */
static int check_unique(char **names, size_t count, struct error *reterr)
{
	qsort(names, count, sizeof(*names), compare_texts);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(names[i - 1], names[i]) == 0)
			return error_set(reterr, -EINVAL, "two wheels of %s; name one",
					 names[i]);
	}
	return 0;
}

static void free_texts(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
}

static int check_wheels(const struct environment_request *request, struct error *reterr)
{
	char **names = calloc(request->count + 1, sizeof(*names));
	int r = names ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < request->count; i++) {
		char name[256];
		char normal[256];
		r = copy_info(request->wheels[i].image, INFO_NAME, name, sizeof(name));
		if (r == 0)
			r = check_fits(request->interpreter, request->wheels[i].image,
				       name, reterr);
		normalise_name(name, normal, sizeof(normal));
		if (r == 0 && !(names[i] = strdup(normal)))
			r = -ENOMEM;
	}
	if (r == 0)
		r = check_unique(names, request->count, reterr);
	free_texts(names, request->count);
	return r;
}

static struct environment_layer *next_layer(struct environment *e)
{
	return &e->layers[e->count];
}

static int pack_image(struct environment *e, struct image_writer *w, int pack_fd,
		      char *take_name)
{
	cleanup_free char *name = take_name;
	struct environment_layer *layer = next_layer(e);
	if (!name)
		return -ENOMEM;
	*layer = (struct environment_layer){ .packed = true, .offset = e->pack_size };
	int r =
	    image_writer_write_to(w, pack_fd, layer->offset, &layer->size, &layer->image);
	if (r < 0)
		return r;
	layer->name = steal_ptr(name);
	e->pack_size = (layer->offset + layer->size + PACK_ALIGNMENT - 1) /
		       PACK_ALIGNMENT * PACK_ALIGNMENT;
	e->count++;
	return 0;
}

static int build_venv(const struct environment_request *request, int pack_fd,
		      struct environment *e)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	int r = image_writer_new(NULL, &w);
	if (r == 0)
		r = skeleton_add_venv(w, request);
	return r < 0 ? r : pack_image(e, w, pack_fd, strdup("skeleton"));
}

static char *display_name(struct image *image, const char *prefix)
{
	char name[256];
	char version[128];
	char *text = NULL;
	if (copy_info(image, INFO_NAME, name, sizeof(name)) < 0 ||
	    copy_info(image, INFO_VERSION, version, sizeof(version)) < 0 ||
	    asprintf(&text, "%s%s %s", prefix, name, version) < 0)
		return NULL;
	return text;
}

static int build_wheel(const struct environment_request *request,
		       const struct environment_wheel *wheel, int pack_fd,
		       struct environment *e, struct error *reterr)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	bool needed;
	int r = image_writer_new(NULL, &w);
	if (r == 0)
		r = skeleton_add_wheel(w, request, wheel, &needed, reterr);
	if (r < 0 || !needed)
		return r;
	return pack_image(e, w, pack_fd, display_name(wheel->image, "skeleton of "));
}

/* After the skeletons the wheels themselves, the last one named first: it wins. */
static int add_wheels(const struct environment_request *request, struct environment *e)
{
	for (size_t i = request->count; i-- > 0;) {
		char *name = display_name(request->wheels[i].image, "");
		if (!name)
			return -EBADMSG;
		*next_layer(e) =
		    (struct environment_layer){ .name = name,
						.image = request->wheels[i].image_id };
		e->count++;
	}
	return 0;
}

int environment_build(const struct environment_request *request, int pack_fd,
		      struct environment *ret, struct error *reterr)
{
	CLEANUP(environment_release) struct environment e = { .count = 0 };
	int r = check_wheels(request, reterr);
	if (r < 0)
		return r;
	e.layers = calloc(2 * request->count + 1, sizeof(*e.layers));
	if (!e.layers)
		return -ENOMEM;
	r = build_venv(request, pack_fd, &e);
	for (size_t i = 0; r == 0 && i < request->count; i++)
		r = build_wheel(request, &request->wheels[i], pack_fd, &e, reterr);
	if (r == 0)
		r = add_wheels(request, &e);
	if (r < 0)
		return r;
	*ret = e;
	e = (struct environment){ .layers = NULL };
	return 0;
}
