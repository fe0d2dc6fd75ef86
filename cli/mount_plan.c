#include "cli/mount_plan.h"

#include "cache/base/file.h"
#include "fusefs/serve/layers.h"
#include "fusefs/serve/plan_changed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char new_pack_name[] = "skeleton/pack.new";

static int digest_file(int fd, struct digest *ret)
{
	enum { CHUNK = 1 << 16 }; /* stays in the processor's cache */
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

/* What the key stands for is in the plan too, where it may have been changed since. */
static bool is_of(const struct plan *plan, const struct plan_request *request)
{
	const struct interpreter *i = request->interpreter;
	return strcmp(plan->path, request->mount_path) == 0 &&
	       strcmp(plan->python, i ? i->executable : "") == 0 &&
	       strcmp(plan->python_version, i ? i->version : "") == 0 &&
	       strcmp(plan->site_packages, i ? i->site_packages : "") == 0 &&
	       strcmp(plan->include, i ? i->include : "") == 0;
}

/* All that changes with a file's content; NULL: it is too young for that to be sure. */
static char *spell_stamps(const struct stat *st)
{
	char *text = NULL;
	if (time(NULL) - st->st_ctim.tv_sec < 2)
		return NULL;
	return asprintf(&text, "%llu %llu %lld %lld.%09ld %lld.%09ld",
			(unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
			(long long)st->st_size, (long long)st->st_mtim.tv_sec,
			st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
			st->st_ctim.tv_nsec) < 0
		   ? NULL
		   : text;
}

bool mount_plan_is_whole(const struct state *state, struct plan *plan)
{
	struct stat st;
	struct digest found;
	if (!plan_has_pack(plan))
		return true;
	cleanup_fd int fd =
	    file_open_beneath(state_fd(state), plan_pack(plan), O_RDONLY, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	cleanup_free char *stamps = spell_stamps(&st);
	if (stamps && plan->pack_seen && strcmp(stamps, plan->pack_seen) == 0 &&
	    plan_is_of_this_boot(plan))
		return true;
	if (digest_file(fd, &found) < 0 || !digest_equal(&found, &plan->pack))
		return false;
	free(plan->pack_seen);
	plan->pack_seen = steal_ptr(stamps);
	return true;
}

/* The last mount's plan, when it is of the same key and its skeleton is whole. */
static bool take_over(const struct state *state, struct plan_request *request,
		      const struct digest *key, struct plan *ret)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) < 0 || !digest_equal(&plan.key, key) ||
	    !is_of(&plan, request) || !mount_plan_is_whole(state, &plan))
		return false;
	/* mount_plan_write() need not read it once more to know. */
	request->keeps_upper = strcmp(plan.upper, request->upper) == 0;
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
			return error_prefix(reterr, r, "%s", wheel->name);
	}
	return 0;
}

/* A wheel's and its skeleton's, by priority. */
static void take_layers(const struct plan_request *request, struct environment *e,
			struct plan *plan)
{
	size_t wheel = request->count; /* the last one comes first */
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
}

static bool has_image(const struct plan *plan, const struct digest *image)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (digest_equal(&plan->layers[i].image, image))
			return true;
	}
	return false;
}

/*
 * Below all others, the last one named first. A folder that is equal to a higher one
 * could show nothing, and an image is but one layer.
 */
static int add_folders(const struct plan_request *request, struct plan *plan)
{
	for (size_t i = request->folder_count; i-- > 0;) {
		const struct folder_note *note = &request->folders[i].note;
		struct plan_layer *layer = &plan->layers[plan->count];
		if (has_image(plan, &note->image))
			continue;
		*layer = (struct plan_layer){ .name = strdup(note->path),
					      .image = note->image,
					      .folder = true };
		if (!layer->name)
			return -ENOMEM;
		plan->count++;
	}
	return 0;
}

static int copy_texts(const struct plan_request *request, struct plan *plan)
{
	const struct interpreter *p = request->interpreter;
	plan->path = strdup(request->mount_path);
	plan->python = strdup(p ? p->executable : "");
	plan->python_version = strdup(p ? p->version : "");
	plan->site_packages = strdup(p ? p->site_packages : "");
	plan->include = strdup(p ? p->include : "");
	return plan->path && plan->python && plan->python_version &&
		       plan->site_packages && plan->include
		   ? 0
		   : -ENOMEM;
}

/* Beside the rows that name them, wherever those are kept. */
int mount_plan_open_layers(const struct state *state, const struct plan_request *request)
{
	if (!request->own_upper) {
		int fd = fcntl(state_fd(state), F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	int r = file_make_dirs(request->upper, 0700);
	return r < 0 ? r : file_open(AT_FDCWD, request->upper, O_RDONLY | O_DIRECTORY, 0);
}

static int number_layers(const struct state *state, const struct plan_request *request,
			 struct plan *plan)
{
	bool changed;
	cleanup_fd int fd = mount_plan_open_layers(state, request);
	return fd < 0 ? fd : layers_number(fd, plan, &changed);
}

/* Do rows lie beside the layers, whatever is mounted this time? */
static bool has_rows(int layers_fd, bool own_upper)
{
	struct stat st;
	return fstatat(layers_fd, own_upper ? "index.db" : "upper/index.db", &st,
		       AT_SYMLINK_NOFOLLOW) == 0;
}

static int say_layers(const struct state *state, const struct plan_request *request,
		      int code, struct error *reterr)
{
	const char *folder = request->own_upper ? request->upper : state_path(state);
	const char *rows = request->own_upper ? "index.db" : "upper";
	if (code != -EBADMSG)
		return error_errno(reterr, code, "cannot write to '%s/layers'", folder);
	return error_set(reterr, code,
			 "'%s/layers' is damaged, so what was changed cannot be told to "
			 "which packages; drop both: rm -r '%s/layers' '%s/%s'",
			 folder, folder, folder, rows);
}

int mount_plan_write(const struct state *state, const struct plan_request *request,
		     struct plan *plan, struct error *reterr)
{
	cleanup_fd int fd = mount_plan_open_layers(state, request);
	int r = fd < 0 ? fd : layers_write(fd, plan, has_rows(fd, request->own_upper));
	if (r < 0)
		return say_layers(state, request, r, reterr);
	if (!request->keeps_upper)
		r = plan_changed_keep(state_fd(state), plan);
	if (r == 0)
		r = plan_write(state_fd(state), plan);
	return r < 0 ? error_errno(reterr, r, "cannot write to '%s'", state_path(state))
		     : 0;
}

int mount_plan_layers(struct plan_request *request, int pack_fd, struct plan *plan,
		      struct error *reterr)
{
	CLEANUP(environment_release) struct environment e = { .count = 0 };
	const struct environment_request wanted = { .mount_path = request->mount_path,
						    .interpreter = request->interpreter,
						    .wheels = request->wheels,
						    .count = request->count };
	int r = request->interpreter ? open_images(request, reterr) : 0;
	if (r == 0 && request->interpreter)
		r = environment_build(&wanted, pack_fd, &e, reterr);
	if (r < 0)
		return r;
	plan->keep_owner = request->keep_owner;
	plan->layers = calloc(e.count + request->folder_count + 1, sizeof(*plan->layers));
	if (!plan->layers)
		return -ENOMEM;
	take_layers(request, &e, plan);
	r = add_folders(request, plan);
	if (r == 0)
		r = copy_texts(request, plan);
	plan->changed = time(NULL);
	return r;
}

static int build(const struct state *state, struct plan_request *request,
		 struct plan *plan, struct error *reterr)
{
	cleanup_fd int fd = -1;
	int r = 0;
	if (request->interpreter)
		r = file_make_dir_at(state_fd(state), "skeleton", 0700);
	/* What a killed command left may have another name by now, and be in use. */
	(void)unlinkat(state_fd(state), new_pack_name, 0);
	if (r == 0 && request->interpreter)
		r = fd = file_open_beneath(state_fd(state), new_pack_name,
					   O_RDWR | O_CREAT | O_EXCL, 0600);
	if (r < 0)
		return error_errno(reterr, r, "cannot write to '%s'", state_path(state));
	r = mount_plan_layers(request, fd, plan, reterr);
	if (r < 0)
		return r;
	if (request->interpreter) {
		(void)strcpy(plan->pack_file, new_pack_name);
		r = digest_file(fd, &plan->pack);
	}
	if (r < 0)
		return error_errno(reterr, r, "cannot write to '%s'", state_path(state));
	r = number_layers(state, request, plan);
	return r < 0 ? say_layers(state, request, r, reterr) : 0;
}

int mount_plan_socket(const struct state *state, char **ret, struct error *reterr)
{
	cleanup_free char *sockets = NULL;
	int r = state_socket_directory(&sockets, reterr);
	if (r == 0 && !(*ret = path_join(sockets, state_id(state))))
		r = -ENOMEM;
	return r;
}

/* What is new at each mount, whatever it shows. */
static int stamp(const struct state *state, const struct plan_request *request,
		 struct plan *plan, struct error *reterr)
{
	char *socket = NULL;
	int r = mount_plan_socket(state, &socket, reterr);
	if (r < 0)
		return r;
	free(plan->socket);
	free(plan->upper);
	plan->socket = socket;
	plan->upper = strdup(request->upper);
	plan->ephemeral = request->ephemeral;
	plan->since = time(NULL);
	r = plan->upper ? plan_stamp(plan) : -ENOMEM;
	return r < 0 ? error_errno(reterr, r, "cannot find out where '%s' is",
				   state_path(state))
		     : 0;
}

/* Names all that the layers depend on. */
static struct digest plan_key(const struct plan_request *request)
{
	const struct environment_request e = { .mount_path = request->mount_path,
					       .interpreter = request->interpreter,
					       .wheels = request->wheels,
					       .count = request->count };
	struct digest key = { .bytes = { 0 } };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (request->interpreter)
		key = environment_key(&e);
	if (request->folder_count == 0 && !request->own_upper)
		return key;
	int r =
	    buffer_printf(&text, "venvfs %s, keep_owner %d, upper %s\n", VENVFS_VERSION,
			  request->keep_owner, request->own_upper ? request->upper : "");
	if (r == 0)
		r = buffer_append(&text, &key, sizeof(key));
	for (size_t i = 0; r == 0 && i < request->folder_count; i++) {
		const struct folder_note *note = &request->folders[i].note;
		r = buffer_append(&text, &note->image, sizeof(note->image));
		if (r == 0)
			r = buffer_printf(&text, "%s\n", note->path);
	}
	/* Without memory: a key that no other request has. */
	return r < 0 ? (struct digest){ .bytes = { 0 } }
		     : digest_of(text.data, text.size);
}

int mount_plan_again(const struct state *state, const struct plan_request *request,
		     struct plan *plan, struct error *reterr)
{
	(void)unlinkat(state_fd(state), new_pack_name, 0);
	return stamp(state, request, plan, reterr);
}

int mount_plan_make(const struct state *state, struct plan_request *request,
		    struct plan *ret, bool *ret_new, struct error *reterr)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	struct digest key = plan_key(request);
	bool is_new = !take_over(state, request, &key, &plan);
	if (!is_new)
		(void)unlinkat(state_fd(state), new_pack_name, 0); /* of who was killed */
	int r = is_new ? build(state, request, &plan, reterr) : 0;
	plan.key = key;
	if (r == 0)
		r = stamp(state, request, &plan, reterr);
	if (r < 0)
		return r;
	*ret_new = is_new;
	*ret = plan;
	plan = (struct plan){ .path = NULL };
	return 0;
}
