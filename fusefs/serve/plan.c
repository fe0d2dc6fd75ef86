#include "fusefs/serve/plan.h"

#include "cache/base/file.h"
#include "cache/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In 2 layers were objects, which take three times as long to read. */
enum { PLAN_VERSION = 3, PLAN_OF_OBJECTS = 2, LARGEST_PLAN = 64 << 20 };

static const char mounted_name[] = "mount.json";
static const char pack_name[] = "skeleton/pack";

void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->layers[i].name);
	free(plan->layers);
	free(plan->path);
	free(plan->python);
	free(plan->python_version);
	free(plan->site_packages);
	free(plan->include);
	free(plan->upper);
	free(plan->socket);
	free(plan->boot);
	free(plan->host);
	free(plan->pack_seen);
	*plan = (struct plan){ .path = NULL };
}

size_t plan_wheels(const struct plan *plan)
{
	size_t wheels = 0;
	for (size_t i = 0; i < plan->count; i++)
		wheels += !plan->layers[i].packed && !plan->layers[i].folder;
	return wheels;
}

size_t plan_folders(const struct plan *plan)
{
	size_t folders = 0;
	for (size_t i = 0; i < plan->count; i++)
		folders += plan->layers[i].folder;
	return folders;
}

bool plan_has_pack(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->layers[i].packed)
			return true;
	}
	return false;
}

/* The plain texts of a plan, by the name they have in the file. */
static const struct {
	const char *key;
	size_t offset;
} texts[] = {
	{ "path", offsetof(struct plan, path) },
	{ "python", offsetof(struct plan, python) },
	{ "python_version", offsetof(struct plan, python_version) },
	{ "site_packages", offsetof(struct plan, site_packages) },
	{ "include", offsetof(struct plan, include) },
	{ "upper", offsetof(struct plan, upper) },
	{ "socket", offsetof(struct plan, socket) },
	{ "boot", offsetof(struct plan, boot) },
	{ "host", offsetof(struct plan, host) },
};
enum { TEXTS = sizeof(texts) / sizeof(*texts) };

static char **text_of(const struct plan *plan, size_t i)
{
	return (char **)(void *)((uintptr_t)plan + texts[i].offset);
}

static int read_object(const json_t *row, struct plan_layer *ret)
{
	const char *name = json_get_text(row, "name");
	const char *image = json_get_text(row, "image");
	int64_t number = json_get_int(row, "number", 0);
	int64_t offset = json_get_int(row, "offset", -1);
	int64_t size = json_get_int(row, "size", 0);
	if (!name || !image || !digest_parse(image, &ret->image) || number < 1 ||
	    number > UINT32_MAX || offset < -1 || size < 0)
		return -EBADMSG;
	ret->number = (uint32_t)number;
	ret->packed = offset >= 0;
	ret->folder = json_get_bool(row, "folder", false);
	ret->offset = ret->packed ? (uint64_t)offset : 0;
	ret->size = (uint64_t)size;
	ret->name = strdup(name);
	return ret->name ? 0 : -ENOMEM;
}

static bool take_size(const char **p, uint64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoull(*p, &end, 10);
	if (**p < '0' || **p > '9' || errno != 0 || *end++ != ' ')
		return false;
	*p = end;
	return true;
}

/* "wheel 7 <image> numpy 2.1.0", "folder 8 <image> /data", or with its place in the pack:
 * "packed 9 <image> <offset> <size> skeleton of numpy 2.1.0". */
static int read_layer(const char *text, struct plan_layer *ret)
{
	char kind[8];
	char image[DIGEST_HEX_SIZE];
	int size = 0;
	if (sscanf(text, "%7[a-z] %n", kind, &size) != 1 || size == 0)
		return -EBADMSG;
	ret->packed = strcmp(kind, "packed") == 0;
	ret->folder = strcmp(kind, "folder") == 0;
	if (!ret->packed && !ret->folder && strcmp(kind, "wheel") != 0)
		return -EBADMSG;
	text += size;
	if (!take_number(&text, &ret->number) || ret->number < 1 || *text++ != ' ')
		return -EBADMSG;
	size_t hex = strcspn(text, " ");
	if (hex >= sizeof(image) || text[hex] != ' ')
		return -EBADMSG;
	memcpy(image, text, hex);
	image[hex] = '\0';
	text += hex + 1;
	if (!digest_parse(image, &ret->image) ||
	    (ret->packed &&
	     (!take_size(&text, &ret->offset) || !take_size(&text, &ret->size))))
		return -EBADMSG;
	ret->name = strdup(text);
	return ret->name ? 0 : -ENOMEM;
}

static int read_layers(const json_t *rows, struct plan *plan)
{
	size_t count = json_array_size(rows);
	plan->layers = calloc(count + 1, sizeof(*plan->layers));
	if (!plan->layers)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *row = json_array_get(rows, i);
		const char *text = json_string_value(row);
		int r = text ? read_layer(text, &plan->layers[i])
			     : read_object(row, &plan->layers[i]);
		if (r < 0)
			return r;
		plan->count++;
	}
	return count > 0 ? 0 : -EBADMSG;
}

static int read_digest(const json_t *object, const char *key, struct digest *ret)
{
	const char *text = json_get_text(object, key);
	return text && digest_parse(text, ret) ? 0 : -EBADMSG;
}

int plan_read(int state_fd, struct plan *ret)
{
	return plan_read_file(state_fd, mounted_name, ret);
}

int plan_read_file(int state_fd, const char *name, struct plan *ret)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *object = NULL;
	int r = file_read_at(state_fd, name, LARGEST_PLAN, &text);
	if (r == 0)
		r = json_parse_object(text.data, text.size, &object);
	if (r < 0)
		return r;
	int64_t version = json_get_int(object, "version", 0);
	if (version != PLAN_VERSION && version != PLAN_OF_OBJECTS)
		return -EBADMSG;
	for (size_t i = 0; i < TEXTS; i++) {
		const char *value = json_get_text(object, texts[i].key);
		char **field = text_of(&plan, i);
		*field = value ? strdup(value) : NULL;
		if (!*field)
			return value ? -ENOMEM : -EBADMSG;
	}
	const char *seen = json_get_text(object, "pack_seen");
	plan.pack_seen = seen ? strdup(seen) : NULL;
	if (seen && !plan.pack_seen)
		return -ENOMEM;
	plan.since = json_get_int(object, "since", 0);
	plan.changed = json_get_int(object, "changed", 0);
	plan.ephemeral = json_get_bool(object, "ephemeral", false);
	plan.throwaway = json_get_bool(object, "throwaway", false);
	plan.keep_owner = json_get_bool(object, "keep_owner", false);
	r = read_digest(object, "key", &plan.key);
	if (r == 0)
		r = read_digest(object, "pack", &plan.pack);
	if (r == 0)
		r = read_layers(json_object_get(object, "layers"), &plan);
	if (r < 0)
		return r;
	*ret = plan;
	plan = (struct plan){ .path = NULL };
	return 0;
}

static json_t *layer_row(const struct plan_layer *layer)
{
	char image[DIGEST_HEX_SIZE];
	char place[48] = "";
	cleanup_buffer struct buffer text = BUFFER_INIT;
	digest_format(&layer->image, image);
	if (layer->packed)
		(void)snprintf(place, sizeof(place), "%llu %llu ",
			       (unsigned long long)layer->offset,
			       (unsigned long long)layer->size);
	int r = buffer_printf(&text, "%s %u %s %s%s",
			      layer->packed   ? "packed"
			      : layer->folder ? "folder"
					      : "wheel",
			      layer->number, image, place, layer->name);
	return r < 0 ? NULL : json_stringn((const char *)text.data, text.size);
}

int plan_write_file(int state_fd, const char *name, const struct plan *plan)
{
	char key[DIGEST_HEX_SIZE];
	char pack[DIGEST_HEX_SIZE];
	digest_format(&plan->key, key);
	digest_format(&plan->pack, pack);
	cleanup_json json_t *object = json_pack(
	    "{s:i, s:I, s:I, s:b, s:s, s:s, s:b}", "version", PLAN_VERSION, "since",
	    (json_int_t)plan->since, "changed", (json_int_t)plan->changed, "ephemeral",
	    plan->ephemeral, "key", key, "pack", pack, "keep_owner", plan->keep_owner);
	json_t *layers = json_array();
	if (!object || json_object_set_new(object, "layers", layers) < 0 ||
	    (plan->throwaway &&
	     json_object_set_new(object, "throwaway", json_true()) < 0))
		return -ENOMEM;
	if (plan->pack_seen &&
	    json_object_set_new(object, "pack_seen", json_string(plan->pack_seen)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < TEXTS; i++) {
		const char *value = *text_of(plan, i);
		json_t *text = json_string(value ? value : "");
		/* A path that is not UTF-8 cannot stand in JSON. */
		if (!text)
			return value ? -EILSEQ : -ENOMEM;
		if (json_object_set_new(object, texts[i].key, text) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (json_array_append_new(layers, layer_row(&plan->layers[i])) < 0)
			return -ENOMEM;
	}
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = json_print(object, false, &text);
	return r < 0 ? r : file_replace_at(state_fd, name, text.data, text.size, false);
}

const char *plan_pack(const struct plan *plan)
{
	return *plan->pack_file ? plan->pack_file : pack_name;
}

int plan_link_pack(int state_fd, const char *from, const char *to)
{
	char aside[sizeof(((struct plan *)NULL)->pack_file) + 8];
	(void)snprintf(aside, sizeof(aside), "%s.link", to);
	if (unlinkat(state_fd, aside, 0) < 0 && errno != ENOENT)
		return -errno;
	if (linkat(state_fd, from, state_fd, aside, 0) < 0 ||
	    renameat(state_fd, aside, state_fd, to) < 0)
		return -errno;
	/* Two names of one file are not renamed onto each other. */
	(void)unlinkat(state_fd, aside, 0);
	return 0;
}

/* One that is kept for an upper stays there. */
int plan_write(int state_fd, struct plan *plan)
{
	int r =
	    *plan->pack_file ? plan_link_pack(state_fd, plan->pack_file, pack_name) : 0;
	if (r < 0)
		return r;
	if (strncmp(plan->pack_file, "skeleton/", 9) == 0)
		(void)unlinkat(state_fd, plan->pack_file, 0);
	plan->pack_file[0] = '\0';
	return plan_write_file(state_fd, mounted_name, plan);
}

static int boot_id(char ret_id[64])
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 63, &text);
	if (r < 0)
		return r;
	memcpy(ret_id, text.data, text.size);
	ret_id[text.size] = '\0';
	ret_id[strcspn(ret_id, "\n")] = '\0';
	return 0;
}

int plan_stamp(struct plan *plan)
{
	char boot[64] = "";
	char host[256] = "";
	(void)boot_id(boot);
	(void)gethostname(host, sizeof(host) - 1);
	free(plan->boot);
	free(plan->host);
	plan->boot = strdup(boot);
	plan->host = strdup(host);
	return plan->boot && plan->host ? 0 : -ENOMEM;
}

bool plan_is_of_this_boot(const struct plan *plan)
{
	char boot[64] = "";
	return boot_id(boot) == 0 && strcmp(boot, plan->boot) == 0;
}
