#include "cache/env/lock/plan.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_INPUT = 64 << 20 };

static const char kind[] = "plans";

void lock_plan_release(struct lock_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->wheels[i].direct_url);
	free(plan->wheels);
	free(plan->notes);
	buffer_release(&plan->inputs);
	*plan = (struct lock_plan){ .wheels = NULL };
}

struct digest lock_plan_key(const struct lock_file *files, size_t count,
			    const struct interpreter *interpreter, const char *options)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "venvfs %s\n%s\n%s\n", VENVFS_VERSION,
			      interpreter->facts, options);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = buffer_printf(&text, "%d %s\n%s\n", (int)files[i].kind, files[i].path,
				  files[i].project);
	/* Without memory: a key that nothing was ever saved under. */
	return r < 0 ? (struct digest){ .bytes = { 0 } }
		     : digest_of(text.data, text.size);
}

/* Of a file that is not there it is all zero. */
static int digest_input(const char *path, struct digest *ret, bool *ret_variables)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(AT_FDCWD, path, LARGEST_INPUT, &text);
	*ret = (struct digest){ .bytes = { 0 } };
	*ret_variables = false;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret = digest_of(text.data, text.size);
	*ret_variables = text.size > 0 && memmem(text.data, text.size, "${", 2) != NULL;
	return 0;
}

/* Appends their paths to `paths`. */
static bool inputs_are_the_same(const json_t *inputs, struct buffer *paths)
{
	size_t i;
	json_t *input;
	json_array_foreach(inputs, i, input)
	{
		const char *path = json_string_value(json_array_get(input, 0));
		const char *hex = json_string_value(json_array_get(input, 1));
		struct digest known;
		struct digest found;
		bool variables;
		if (!path || !hex || !digest_parse(hex, &known) ||
		    digest_input(path, &found, &variables) < 0 ||
		    !digest_equal(&known, &found) ||
		    buffer_append(paths, path, strlen(path) + 1) < 0)
			return false;
	}
	return json_is_array(inputs);
}

static int take_wheels(const json_t *wheels, struct lock_plan *plan)
{
	size_t i;
	json_t *wheel;
	plan->wheels = calloc(json_array_size(wheels) + 1, sizeof(*plan->wheels));
	if (!plan->wheels)
		return -ENOMEM;
	json_array_foreach(wheels, i, wheel)
	{
		const char *hex = json_string_value(json_array_get(wheel, 0));
		const char *url = json_string_value(json_array_get(wheel, 1));
		struct lock_plan_wheel *to = &plan->wheels[plan->count++];
		if (!hex || !sha256_parse(hex, &to->sha256))
			return -ENOENT;
		to->direct_url = url ? strdup(url) : NULL;
		if (url && !to->direct_url)
			return -ENOMEM;
	}
	return 0;
}

int lock_plan_load(struct store *store, const struct digest *key, struct lock_plan *ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *value = NULL;
	CLEANUP(lock_plan_release) struct lock_plan plan = { .wheels = NULL };
	if (store_get_fact(store, kind, key, &text) < 0 ||
	    json_parse_object(text.data, text.size, &value) < 0 ||
	    !inputs_are_the_same(json_object_get(value, "inputs"), &plan.inputs))
		return -ENOENT;
	int r = take_wheels(json_object_get(value, "wheels"), &plan);
	const char *notes = json_get_text(value, "notes");
	plan.notes = r == 0 && notes ? strdup(notes) : NULL;
	if (r < 0 || (notes && !plan.notes))
		return r < 0 ? r : -ENOMEM;
	*ret = plan;
	plan = (struct lock_plan){ .wheels = NULL };
	return 0;
}

/* 1: they say all; 0: more than they decides. */
static int list_inputs(const struct buffer *inputs, json_t *to)
{
	for (size_t at = 0; at < inputs->size;) {
		const char *path = (const char *)inputs->data + at;
		char hex[DIGEST_HEX_SIZE];
		struct digest digest;
		bool variables;
		int r = digest_input(path, &digest, &variables);
		if (r < 0 || variables)
			return r;
		digest_format(&digest, hex);
		json_t *pair = json_pack("[ss]", path, hex);
		if (!pair || json_array_append_new(to, pair) < 0)
			return -ENOMEM;
		at += strlen(path) + 1;
	}
	return 1;
}

static int list_wheels(const struct lock_plan *plan, json_t *to)
{
	for (size_t i = 0; i < plan->count; i++) {
		char hex[SHA256_HEX_SIZE];
		sha256_format(&plan->wheels[i].sha256, hex);
		json_t *pair = json_pack("[ss?]", hex, plan->wheels[i].direct_url);
		if (!pair || json_array_append_new(to, pair) < 0)
			return -ENOMEM;
	}
	return 0;
}

int lock_plan_save(struct store *store, const struct digest *key,
		   const struct buffer *inputs, const struct lock_plan *plan)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *files = json_array();
	cleanup_json json_t *wheels = json_array();
	int r = list_inputs(inputs, files);
	if (r <= 0)
		return r;
	r = list_wheels(plan, wheels);
	cleanup_json json_t *value =
	    r == 0 ? json_pack("{sO sO ss?}", "inputs", files, "wheels", wheels, "notes",
			       plan->notes)
		   : NULL;
	if (!value)
		return r < 0 ? r : -ENOMEM;
	r = json_print(value, false, &text);
	return r < 0 ? r : store_put_fact(store, kind, key, text.data, text.size);
}
