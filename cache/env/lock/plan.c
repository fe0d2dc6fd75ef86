#include "cache/env/lock/plan.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "plans";

void lock_plan_release(struct lock_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		build_record_release(&plan->wheels[i]);
	free(plan->wheels);
	free(plan->notes);
	json_decref(plan->inputs);
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

static int take_wheels(const json_t *wheels, struct lock_plan *plan)
{
	size_t i;
	json_t *wheel;
	plan->wheels = calloc(json_array_size(wheels) + 1, sizeof(*plan->wheels));
	if (!plan->wheels)
		return -ENOMEM;
	json_array_foreach(wheels, i, wheel)
	{
		struct build_record *to = &plan->wheels[plan->count];
		if (build_record_from_json(wheel, to) < 0)
			return -ENOENT;
		plan->count++;
		if (!build_record_is_fresh(to))
			return -ENOENT;
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
	    !inputs_are_same(json_object_get(value, "inputs")))
		return -ENOENT;
	int r = take_wheels(json_object_get(value, "wheels"), &plan);
	const char *notes = json_get_text(value, "notes");
	plan.notes = r == 0 && notes ? strdup(notes) : NULL;
	if (r < 0 || (notes && !plan.notes))
		return r < 0 ? r : -ENOMEM;
	plan.inputs = json_incref(json_object_get(value, "inputs"));
	*ret = plan;
	plan = (struct lock_plan){ .wheels = NULL };
	return 0;
}

static int list_wheels(const struct lock_plan *plan, json_t *to)
{
	for (size_t i = 0; i < plan->count; i++) {
		json_t *wheel = build_record_to_json(&plan->wheels[i]);
		if (!wheel || json_array_append_new(to, wheel) < 0)
			return -ENOMEM;
	}
	return 0;
}

int lock_plan_save(struct store *store, const struct digest *key,
		   const struct inputs *inputs, const struct lock_plan *plan)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *wheels = json_array();
	if (inputs->passing || !inputs->files)
		return 0;
	int r = list_wheels(plan, wheels);
	cleanup_json json_t *value =
	    r == 0 ? json_pack("{sO sO ss?}", "inputs", inputs->files, "wheels", wheels,
			       "notes", plan->notes)
		   : NULL;
	if (!value)
		return r < 0 ? r : -ENOMEM;
	r = json_print(value, false, &text);
	return r < 0 ? r : store_put_fact(store, kind, key, text.data, text.size);
}
