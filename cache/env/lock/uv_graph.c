/*
 * Walked as uv walks it: from the projects along dependencies whose markers hold, breadth
 * first, an extra of a package being a node of its own.
 *
 * Where extras or groups exclude each other, uv resolves for each of them apart, and
 * writes into markers which of them they are for: `extra == 'extra-4-proj-cpu'` is the
 * extra "cpu" of "proj". Such a marker can only be judged when it is known which extras
 * are on anywhere in the graph. So there are two walks then: one to learn that, and one
 * that counts.
 */
#include "cache/env/lock/uv_graph.h"

#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct uv_visit {
	struct uv_package *package;
	const char *extra; /* or NULL: the package without any; borrowed from the lock */
};

/* Stands in `queued` for the package without any extra; no extra is called so. */
static const char no_extra[] = "(none)";

static int compare_names(const void *a, const void *b)
{
	const struct uv_package *x = a;
	const struct uv_package *y = b;
	int r = strcmp(x->name, y->name);
	return r ? r : (x->json > y->json) - (x->json < y->json);
}

static int take_packages(struct uv_graph *g, const json_t *list)
{
	size_t i;
	json_t *package;
	g->packages = calloc(json_array_size(list) + 1, sizeof(*g->packages));
	if (!g->packages)
		return -ENOMEM;
	json_array_foreach(list, i, package)
	{
		struct uv_package p = { .json = package };
		p.name = json_get_text(package, "name");
		p.version = json_get_text(package, "version");
		p.source = json_object_get(package, "source");
		if (!p.name || !json_is_object(p.source))
			return fill_bad(g->reading,
					"a package in it has no name or no source");
		g->packages[g->count++] = p;
	}
	qsort(g->packages, g->count, sizeof(*g->packages), compare_names);
	return 0;
}

int uv_graph_init(struct reading *r, const json_t *lock, struct uv_graph *ret)
{
	const json_t *list = json_object_get(lock, "package");
	*ret = (struct uv_graph){ .reading = r, .lock = lock };
	/* Of a project that depends on nothing, and is none, there is no list. */
	return take_packages(ret, list);
}

void uv_graph_release(struct uv_graph *graph)
{
	for (size_t i = 0; i < graph->count; i++)
		name_list_release(&graph->packages[i].queued);
	free(graph->packages);
	free(graph->queue);
	name_list_release(&graph->active);
}

struct uv_package *uv_graph_first(struct uv_graph *graph, const char *name)
{
	size_t low = 0;
	size_t high = graph->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(graph->packages[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < graph->count && strcmp(graph->packages[low].name, name) == 0
		   ? &graph->packages[low]
		   : NULL;
}

static bool is_another_of(const struct uv_graph *g, const struct uv_package *p,
			  const char *name)
{
	return p < g->packages + g->count && strcmp(p->name, name) == 0;
}

/* Which package a dependency means: it says no more than is needed to tell. */
static int find_package(struct uv_graph *g, const json_t *dependency,
			struct uv_package **ret)
{
	const char *name = json_get_text(dependency, "name");
	const char *version = json_get_text(dependency, "version");
	const json_t *source = json_object_get(dependency, "source");
	struct uv_package *found = NULL;
	struct uv_package *p = name ? uv_graph_first(g, name) : NULL;
	for (; p && is_another_of(g, p, name); p++) {
		if (version && (!p->version || strcmp(version, p->version) != 0))
			continue;
		if (source && !json_equal(source, p->source))
			continue;
		if (found)
			return fill_bad(g->reading, "two packages in it are %.100s",
					name);
		found = p;
	}
	if (!found)
		return fill_bad(g->reading,
				"it lacks the package %.100s that another needs",
				name ? name : "(no name)");
	*ret = found;
	return 0;
}

static bool is_active(const void *context, const char *name)
{
	const struct uv_graph *g = context;
	return name_list_has(&g->active, name);
}

/* 1, 0 or an error. */
static int holds(const struct uv_graph *g, const json_t *dependency)
{
	struct marker_environment environment = g->reading->target->markers;
	environment.has_extra = is_active;
	environment.context = g;
	return fill_marker(g->reading, &environment, json_get_text(dependency, "marker"));
}

static int activate(struct uv_graph *g, const char *what, const char *package,
		    const char *name)
{
	cleanup_free char *text = NULL;
	if (asprintf(&text, "%s-%zu-%s%s%s", what, strlen(package), package,
		     name ? "-" : "", name ? name : "") < 0)
		return -ENOMEM;
	return name_list_add(&g->active, text);
}

static int enqueue(struct uv_graph *g, struct uv_package *package, const char *extra)
{
	const char *mark = extra ? extra : no_extra;
	if (name_list_has(&package->queued, mark))
		return 0;
	if (g->queue_count == g->queue_room) {
		size_t room = g->queue_room ? 2 * g->queue_room : 64;
		struct uv_visit *more = realloc(g->queue, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->queue = more;
		g->queue_room = room;
	}
	g->queue[g->queue_count++] = (struct uv_visit){ package, extra };
	return name_list_add(&package->queued, mark);
}

static const json_t *extras_of(const json_t *dependency)
{
	/* The manifest's requirements have the plural. */
	const json_t *extras = json_object_get(dependency, "extra");
	return extras ? extras : json_object_get(dependency, "extras");
}

/* The package of a dependency that holds, with its extras. */
static int reach(struct uv_graph *g, struct uv_package *package, const json_t *dependency)
{
	size_t i;
	json_t *extra;
	package->reached = true;
	int r = enqueue(g, package, NULL);
	json_array_foreach(extras_of(dependency), i, extra)
	{
		if (r == 0 && json_is_string(extra))
			r = enqueue(g, package, json_string_value(extra));
	}
	return r;
}

/* Extras that a dependency switches on count for its own marker. */
static int activate_extras(struct uv_graph *g, const json_t *dependency)
{
	size_t i;
	json_t *extra;
	int r = 0;
	json_array_foreach(extras_of(dependency), i, extra)
	{
		if (r == 0 && json_is_string(extra))
			r = activate(g, "extra", json_get_text(dependency, "name"),
				     json_string_value(extra));
	}
	return r;
}

static int try_dependency(struct uv_graph *g, const json_t *dependency, bool learning)
{
	struct uv_package *package = NULL;
	size_t before = g->active.count;
	int r = find_package(g, dependency, &package);
	if (r == 0 && learning)
		r = activate_extras(g, dependency);
	int held = r < 0 ? r : holds(g, dependency);
	if (held > 0)
		return reach(g, package, dependency);
	while (g->active.count > before)
		free(g->active.names[--g->active.count]);
	return held;
}

static int try_all(struct uv_graph *g, const json_t *dependencies, bool learning)
{
	size_t i;
	json_t *dependency;
	int r = 0;
	json_array_foreach(dependencies, i, dependency)
	{
		if (r == 0)
			r = try_dependency(g, dependency, learning);
	}
	return r;
}

static const json_t *groups_of(const json_t *package)
{
	const json_t *groups = json_object_get(package, "dev-dependencies");
	return groups ? groups : json_object_get(package, "dependency-groups");
}

static int follow(struct uv_graph *g, bool learning)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->queue_count; i++) {
		const struct uv_visit visit = g->queue[i];
		const json_t *from = visit.package->json;
		const json_t *extras = json_object_get(from, "optional-dependencies");
		r = try_all(g,
			    visit.extra ? json_object_get(extras, visit.extra)
					: json_object_get(from, "dependencies"),
			    learning);
	}
	return r;
}

static bool has_conflicts(const struct uv_graph *g)
{
	return json_array_size(json_object_get(g->lock, "conflicts")) > 0;
}

/* What the options switch on, as markers of conflicts name it. */
static int activate_chosen(struct uv_graph *g, const struct uv_package *root,
			   const struct selection *s)
{
	const json_t *extras = json_object_get(root->json, "optional-dependencies");
	const json_t *groups = groups_of(root->json);
	int r = s->prod ? activate(g, "project", root->name, NULL) : 0;
	for (size_t i = 0; r == 0 && s->prod && i < s->extras.count; i++) {
		if (json_object_get(extras, s->extras.names[i]))
			r = activate(g, "extra", root->name, s->extras.names[i]);
	}
	for (size_t i = 0; r == 0 && i < s->groups.count; i++) {
		if (json_object_get(groups, s->groups.names[i]))
			r = activate(g, "group", root->name, s->groups.names[i]);
	}
	return r;
}

static int start_root(struct uv_graph *g, struct uv_package *root,
		      const struct selection *s)
{
	const json_t *extras = json_object_get(root->json, "optional-dependencies");
	const json_t *groups = groups_of(root->json);
	int r = s->prod ? enqueue(g, root, NULL) : 0;
	root->wanted_root = root->wanted_root || s->prod;
	for (size_t i = 0; r == 0 && s->prod && i < s->extras.count; i++) {
		if (json_object_get(extras, s->extras.names[i]))
			r = enqueue(g, root, s->extras.names[i]);
	}
	for (size_t i = 0; r == 0 && i < s->groups.count; i++)
		r = try_all(g, json_object_get(groups, s->groups.names[i]), false);
	return r;
}

/* One of those that exclude each other, as `active` has it; NULL without memory. */
static char *encode_conflict(const json_t *item)
{
	const char *package = json_get_text(item, "package");
	const char *extra = json_get_text(item, "extra");
	const char *group = json_get_text(item, "group");
	const char *what = extra ? "extra" : group ? "group" : "project";
	const char *name = extra ? extra : group;
	char *text = NULL;
	if (asprintf(&text, "%s-%zu-%s%s%s", what, package ? strlen(package) : 0,
		     package ? package : "", name ? "-" : "", name ? name : "") < 0)
		return NULL;
	return text;
}

static int check_conflict(const struct uv_graph *g, const json_t *set)
{
	const json_t *first = NULL;
	size_t i;
	json_t *item;
	json_array_foreach(set, i, item)
	{
		cleanup_free char *name = encode_conflict(item);
		if (!name)
			return -ENOMEM;
		if (!name_list_has(&g->active, name))
			continue;
		if (!first) {
			first = item;
			continue;
		}
		const char *one = json_get_text(first, "extra");
		const char *two = json_get_text(item, "extra");
		return fill_refuse(
		    g->reading,
		    "'%.100s' and '%.100s' exclude each other; take one of them",
		    one ? one : json_get_text(first, "group"),
		    two ? two : json_get_text(item, "group"));
	}
	return 0;
}

static int check_conflicts(const struct uv_graph *g)
{
	size_t i;
	json_t *set;
	int r = 0;
	json_array_foreach(json_object_get(g->lock, "conflicts"), i, set)
	{
		if (r == 0)
			r = check_conflict(g, set);
	}
	return r;
}

/* Back to where the walk began; what is active stays. */
static int rewind_walk(struct uv_graph *g, size_t started)
{
	int r = 0;
	for (size_t i = 0; i < g->count; i++) {
		name_list_release(&g->packages[i].queued);
		g->packages[i].reached = g->packages[i].started;
	}
	g->queue_count = 0;
	for (size_t i = 0; r == 0 && i < started; i++)
		r = enqueue(g, g->queue[i].package, g->queue[i].extra);
	return r;
}

static int start(struct uv_graph *g, struct uv_package *const *roots, size_t count,
		 const struct selection *selection)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = start_root(g, roots[i], selection);
	return r;
}

/* Of several in a fork, the one that is for this machine. */
static int find_by_markers(struct uv_graph *g, const char *name, struct uv_package **ret)
{
	struct uv_package *p = name ? uv_graph_first(g, name) : NULL;
	for (; p && is_another_of(g, p, name); p++) {
		const json_t *markers = json_object_get(p->json, "resolution-markers");
		size_t i;
		json_t *marker;
		bool fits = json_array_size(markers) == 0;
		json_array_foreach(markers, i, marker)
		{
			int held = fill_marker(g->reading, &g->reading->target->markers,
					       json_string_value(marker));
			if (held < 0)
				return held;
			fits = fits || held;
		}
		if (fits) {
			*ret = p;
			return 0;
		}
	}
	return fill_bad(g->reading, "it lacks the package %.100s that its manifest needs",
			name ? name : "(no name)");
}

static int add_requirements(struct uv_graph *g, const json_t *requirements)
{
	size_t i;
	json_t *requirement;
	json_array_foreach(requirements, i, requirement)
	{
		struct uv_package *package = NULL;
		int held = holds(g, requirement);
		if (held < 0)
			return held;
		if (held == 0)
			continue;
		int r = find_by_markers(g, json_get_text(requirement, "name"), &package);
		if (r == 0)
			r = reach(g, package, requirement);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_manifest(struct uv_graph *graph, const struct selection *selection)
{
	const json_t *manifest = json_object_get(graph->lock, "manifest");
	const json_t *groups = json_object_get(manifest, "dependency-groups");
	int r = selection->prod
		    ? add_requirements(graph, json_object_get(manifest, "requirements"))
		    : 0;
	for (size_t i = 0; r == 0 && i < selection->groups.count; i++)
		r = add_requirements(graph,
				     json_object_get(groups, selection->groups.names[i]));
	return r;
}

/* The walk that only learns which extras are on. */
static int learn(struct uv_graph *g)
{
	size_t started = g->queue_count;
	for (size_t i = 0; i < g->count; i++)
		g->packages[i].started = g->packages[i].reached;
	int r = follow(g, true);
	if (r == 0)
		r = check_conflicts(g);
	return r == 0 ? rewind_walk(g, started) : r;
}

int uv_graph_walk(struct uv_graph *graph, struct uv_package *const *roots, size_t count,
		  const struct selection *selection, bool manifest)
{
	bool conflicts = has_conflicts(graph);
	int r = 0;
	for (size_t i = 0; r == 0 && conflicts && i < count; i++)
		r = activate_chosen(graph, roots[i], selection);
	if (r == 0)
		r = start(graph, roots, count, selection);
	if (r == 0 && manifest)
		r = add_manifest(graph, selection);
	if (r == 0 && conflicts)
		r = learn(graph);
	return r == 0 ? follow(graph, false) : r;
}
