/*
 * From wheels with an interpreter, and folders, to what a mount serves: the plan in its
 * state directory, taken over from the last mount when nothing that it depends on has
 * changed. One thread, under the state's lock.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/environment.h"
#include "cache/folder/folder.h"
#include "cache/store/cache.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

struct plan_request {
	const char *mount_path;                /* canonical */
	const struct interpreter *interpreter; /* NULL: folders only, no skeleton */
	struct environment_wheel *wheels; /* all but the images; these may be opened here,
					     and are the caller's to free */
	size_t count;
	const struct folder_added *folders; /* the later one wins; all below the wheels */
	size_t folder_count;
	bool keep_owner;   /* of what the folders hold */
	const char *upper; /* directory of the writable layer; "": read-only */
	bool own_upper;    /* named by --upper: numbers of layers are kept there */
	bool ephemeral;
	struct cache *cache;
	/* Said by mount_plan_make(): what is mounted there now leaves no changes aside.
	 */
	bool keeps_upper;
};

/*
 * Writes a new skeleton aside as needed and nothing else. *ret_new: it is not what was
 * mounted there last.
 */
int mount_plan_make(const struct state *state, struct plan_request *request,
		    struct plan *ret, bool *ret_new, struct error *reterr);
/*
 * Is its skeleton there, and the one that it speaks of? It is read unless it was in this
 * boot, and not changed since; what was found is noted in the plan.
 */
bool mount_plan_is_whole(const struct state *state, struct plan *plan);
/* Where the control socket of a mount with this state will be; the caller frees it. */
int mount_plan_socket(const struct state *state, char **ret, struct error *reterr);
/* A descriptor of the directory that holds `layers`. */
int mount_plan_open_layers(const struct state *state, const struct plan_request *request);
/* A plan of before, and not the one that was made, is going to be mounted. */
int mount_plan_again(const struct state *state, const struct plan_request *request,
		     struct plan *plan, struct error *reterr);
/* From now on it is what is mounted there: layers and mount.json. */
int mount_plan_write(const struct state *state, const struct plan_request *request,
		     struct plan *plan, struct error *reterr);
/*
 * Only the layers, without numbers and without a state directory: the skeleton goes to
 * pack_fd, an empty file.
 */
int mount_plan_layers(struct plan_request *request, int pack_fd, struct plan *plan,
		      struct error *reterr);
