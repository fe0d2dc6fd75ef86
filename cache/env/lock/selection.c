#include "cache/env/lock/selection.h"

#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int name_list_add(struct name_list *list, const char *name)
{
	if (name_list_has(list, name))
		return 0;
	size_t size = strlen(name);
	cleanup_free char *copy = malloc(size + 1);
	char **more = realloc(list->names, (list->count + 1) * sizeof(*more));
	if (more)
		list->names = more;
	if (!copy || !more)
		return -ENOMEM;
	normalise_name(name, copy, size + 1);
	more[list->count++] = steal_ptr(copy);
	return 0;
}

int name_list_add_json(struct name_list *list, const json_t *from)
{
	size_t i;
	json_t *item;
	int r = 0;
	json_array_foreach(from, i, item)
	{
		if (r == 0 && json_is_string(item))
			r = name_list_add(list, json_string_value(item));
	}
	for (void *it = json_object_iter((json_t *)(uintptr_t)from); it && r == 0;
	     it = json_object_iter_next((json_t *)(uintptr_t)from, it))
		r = name_list_add(list, json_object_iter_key(it));
	return r;
}

static size_t find(const struct name_list *list, const char *name)
{
	size_t i = 0;
	while (i < list->count && !same_name(list->names[i], name))
		i++;
	return i;
}

bool name_list_has(const struct name_list *list, const char *name)
{
	return find(list, name) < list->count;
}

void name_list_remove(struct name_list *list, const char *name)
{
	size_t i = find(list, name);
	if (i == list->count)
		return;
	free(list->names[i]);
	list->names[i] = list->names[--list->count];
}

void name_list_release(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct name_list){ .names = NULL };
}

struct marker_set name_list_set(const struct name_list *list)
{
	return (struct marker_set){ .names = (const char *const *)list->names,
				    .count = list->count };
}

static int add_list(struct name_list *to, const struct name_list *from)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < from->count; i++)
		r = name_list_add(to, from->names[i]);
	return r;
}

/* Names that options have, each of which must be offered. */
static int add_named(const struct reading *r, struct name_list *to,
		     const struct lock_names *names, const struct name_list *offered,
		     const char *what)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < names->count; i++) {
		if (!name_list_has(offered, names->names[i]))
			return fill_refuse(r, "it has no %s '%.100s'", what,
					   names->names[i]);
		result = name_list_add(to, names->names[i]);
	}
	return result;
}

static void remove_named(struct name_list *from, const struct lock_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		name_list_remove(from, names->names[i]);
}

static int choose_extras(const struct reading *r, const struct offered *offered,
			 struct selection *s)
{
	const struct lock_options *o = r->options;
	int result = o->all_extras ? add_list(&s->extras, &offered->extras) : 0;
	if (result == 0)
		result = add_named(r, &s->extras, &o->extras, &offered->extras, "extra");
	remove_named(&s->extras, &o->no_extras);
	return result;
}

static int choose_groups(const struct reading *r, const struct offered *offered,
			 struct selection *s)
{
	const struct lock_options *o = r->options;
	int result = 0;
	if (s->prod && !o->no_default_groups)
		result = add_list(&s->groups, &offered->default_groups);
	if (result == 0 && o->all_groups)
		result = add_list(&s->groups, &offered->groups);
	if (result == 0)
		result = add_named(r, &s->groups, &o->groups, &offered->groups, "group");
	if (result == 0)
		result =
		    add_named(r, &s->groups, &o->only_groups, &offered->groups, "group");
	if (result == 0 && o->only_dev)
		result = name_list_add(&s->groups, "dev");
	remove_named(&s->groups, &o->no_groups);
	if (o->no_dev)
		name_list_remove(&s->groups, "dev");
	return result;
}

int selection_make(const struct reading *r, const struct offered *offered,
		   struct selection *ret)
{
	CLEANUP(selection_release)
	struct selection s = { .prod = r->options->only_groups.count == 0 &&
				       !r->options->only_dev };
	int result = choose_extras(r, offered, &s);
	if (result == 0)
		result = choose_groups(r, offered, &s);
	if (result < 0)
		return result;
	*ret = s;
	s = (struct selection){ .prod = false };
	return 0;
}

void selection_release(struct selection *selection)
{
	name_list_release(&selection->extras);
	name_list_release(&selection->groups);
}

void offered_release(struct offered *offered)
{
	name_list_release(&offered->extras);
	name_list_release(&offered->groups);
	name_list_release(&offered->default_groups);
}
