#include "cli/mount_plan.h"

#include "cache/base/file.h"
#include "fusefs/serve/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char pack_name[] = "skeleton/pack";

static int digest_file(int fd, struct digest *ret)
{
	enum { CHUNK = 1 << 18 };
	CLEANUP(digest_stream_freep) struct digest_stream *stream = digest_stream_new();
	cleanup_free void *chunk = malloc(CHUNK);
	ssize_t n = 0;
	off_t offset = 0;
	if (!stream || !chunk)
		return -ENOMEM;
	while ((n = pread(fd, chunk, CHUNK, offset)) > 0) {
		digest_stream_add(stream, chunk, (size_t)n);
		offset += n;
	}
	*ret = digest_stream_end(stream);
	return n < 0 ? -errno : 0;
}

/* The last mount's plan, when it is of the same key and its skeleton is whole. */
static bool take_over(const struct state *state, const struct digest *key,
		      struct plan *ret)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	struct digest found;
	if (plan_read(state_fd(state), &plan) < 0 || !digest_equal(&plan.key, key))
		return false;
	cleanup_fd int fd = file_open_beneath(state_fd(state), pack_name, O_RDONLY, 0);
	if (fd < 0 || digest_file(fd, &found) < 0 || !digest_equal(&found, &plan.pack))
		return false;
	*ret = plan;
	plan = (struct plan){ .path = NULL };
	return true;
}

static int open_images(struct plan_request *request, struct error *reterr)
{
	for (size_t i = 0; i < request->count; i++) {
		struct environment_wheel *wheel = &request->wheels[i];
		int r = cache_open_image(request->cache, &wheel->image_id, &wheel->image,
					 reterr);
		if (r < 0)
			return error_prefix(reterr, r, "%s", wheel->path);
	}
	return 0;
}

static int build_pack(const struct state *state, const struct plan_request *request,
		      struct environment *ret, struct digest *ret_digest,
		      struct error *reterr)
{
	static const char aside[] = "skeleton/pack.new";
	const struct environment_request e = { .mount_path = request->mount_path,
					       .interpreter = request->interpreter,
					       .wheels = request->wheels,
					       .count = request->count };
	int r = file_make_dir_at(state_fd(state), "skeleton", 0700);
	cleanup_fd int fd = r < 0 ? r
				  : file_open_beneath(state_fd(state), aside,
						      O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot write to '%s'", state_path(state));
	r = environment_build(&e, fd, ret, reterr);
	if (r < 0)
		return r;
	r = digest_file(fd, ret_digest);
	if (r == 0 && renameat(state_fd(state), aside, state_fd(state), pack_name) < 0)
		r = -errno;
	return r < 0 ? error_errno(reterr, r, "cannot write to '%s'", state_path(state))
		     : 0;
}

static int take_layers(const struct plan_request *request, struct environment *e,
		       struct plan *plan)
{
	size_t wheel = request->count; /* the last one comes first */
	plan->layers = calloc(e->count + 1, sizeof(*plan->layers));
	if (!plan->layers)
		return -ENOMEM;
	for (size_t i = 0; i < e->count; i++) {
		struct environment_layer *from = &e->layers[i];
		plan->layers[i] = (struct plan_layer){ .name = steal_ptr(from->name),
						       .image = from->image,
						       .packed = from->packed,
						       .offset = from->offset,
						       .size = from->size };
		if (!from->packed)
			plan->layers[i].open = request->wheels[--wheel].image;
		plan->count++;
	}
	return 0;
}

static int copy_texts(const struct plan_request *request, struct plan *plan)
{
	const struct interpreter *p = request->interpreter;
	plan->path = strdup(request->mount_path);
	plan->python = strdup(p->executable);
	plan->python_version = strdup(p->version);
	plan->site_packages = strdup(p->site_packages);
	plan->include = strdup(p->include);
	return plan->path && plan->python && plan->python_version &&
		       plan->site_packages && plan->include
		   ? 0
		   : -ENOMEM;
}

static int build(const struct state *state, struct plan_request *request,
		 struct plan *plan, struct error *reterr)
{
	CLEANUP(environment_release) struct environment e = { .count = 0 };
	bool changed = false;
	int r = open_images(request, reterr);
	if (r == 0)
		r = build_pack(state, request, &e, &plan->pack, reterr);
	if (r < 0)
		return r;
	r = take_layers(request, &e, plan);
	if (r == 0)
		r = copy_texts(request, plan);
	if (r == 0)
		r = layers_number(state_fd(state), plan, &changed);
	plan->changed = time(NULL);
	return r < 0 ? error_errno(reterr, r, "cannot number the layers in '%s'",
				   state_path(state))
		     : 0;
}

/* What is new at each mount, whatever it shows. */
static int stamp(const struct state *state, struct plan *plan, struct error *reterr)
{
	cleanup_free char *sockets = NULL;
	int r = state_socket_directory(&sockets, reterr);
	if (r < 0)
		return r;
	free(plan->socket);
	plan->socket = path_join(sockets, state_id(state));
	plan->since = time(NULL);
	r = plan->socket ? plan_stamp(plan) : -ENOMEM;
	if (r == 0)
		r = plan_write(state_fd(state), plan);
	return r < 0 ? error_errno(reterr, r, "cannot write '%s/mount.json'",
				   state_path(state))
		     : 0;
}

int mount_plan_make(const struct state *state, struct plan_request *request,
		    struct plan *ret, bool *ret_new, struct error *reterr)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	const struct environment_request e = { .mount_path = request->mount_path,
					       .interpreter = request->interpreter,
					       .wheels = request->wheels,
					       .count = request->count };
	struct digest key = environment_key(&e);
	bool is_new = !take_over(state, &key, &plan);
	int r = is_new ? build(state, request, &plan, reterr) : 0;
	plan.key = key;
	if (r == 0)
		r = stamp(state, &plan, reterr);
	if (r < 0)
		return r;
	*ret_new = is_new;
	*ret = plan;
	plan = (struct plan){ .path = NULL };
	return 0;
}
