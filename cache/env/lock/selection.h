/* Private to cache/env/lock: which extras and groups the options mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/json.h"
#include "cache/env/lock/fill.h"

/* Names, normalised, none twice. */
struct name_list {
	char **names;
	size_t count;
};

int name_list_add(struct name_list *list, const char *name);
/* The texts of a JSON array, or the keys of an object. */
int name_list_add_json(struct name_list *list, const json_t *from);
bool name_list_has(const struct name_list *list, const char *name);
void name_list_remove(struct name_list *list, const char *name);
void name_list_release(struct name_list *list);
struct marker_set name_list_set(const struct name_list *list);

struct selection {
	struct name_list extras, groups;
	bool prod; /* not groups alone */
};

/* What a lock has of them. */
struct offered {
	struct name_list extras, groups, default_groups;
};

/* -EINVAL: an option names what is not offered. */
int selection_make(const struct reading *r, const struct offered *offered,
		   struct selection *ret);
void selection_release(struct selection *selection);
void offered_release(struct offered *offered);
